package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/control/controltest"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vsctl": main})
}

// The scripts run vsctl against a daemon whose ports are in memory. Beside
// testscript's own, they know these commands:
//
//	daemon                     start the daemon; it ends with the script
//	code N COMMAND [ARGS]      the command exits with N
//	learn SWITCH/PORT MAC [V]  a station sends a frame, tagged with V
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv(client.SocketVar, filepath.Join(env.WorkDir, "s"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"daemon": startDaemon,
			"code":   wantCode,
			"learn":  learn,
		},
	})
}

// running are the scripts' daemons by socket: scripts run at once.
var running sync.Map

func startDaemon(ts *testscript.TestScript, _ bool, _ []string) {
	d, err := controltest.Start(ts.Getenv(client.SocketVar), nil)
	ts.Check(err)
	ts.Defer(func() { ts.Check(d.Close()) })
	running.Store(d.Socket, d)
}

func wantCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARGS]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func learn(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: learn SWITCH/PORT MAC [V]")
	}
	mac, err := frame.ParseStation(args[1])
	ts.Check(err)
	var vid vlan.ID
	if len(args) == 3 {
		vid, err = vlan.ParseID(args[2])
		ts.Check(err)
	}
	d, ok := running.Load(ts.Getenv(client.SocketVar))
	if !ok {
		ts.Fatalf("no daemon runs: start it with daemon")
	}
	ts.Check(d.(*controltest.Daemon).Learn(args[0], mac, vid))
}
