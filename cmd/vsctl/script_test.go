package main

import (
	"context"
	"os"
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

// asProgram makes the test's own binary behave as vsctl.
const asProgram = "TEST_AS_VSCTL"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// The scripts run vsctl against a daemon whose ports are in memory. Beside
// testscript's own, they know these commands:
//
//	daemon                     start the daemon; it ends with the script
//	vsctl [ARGS]               it exits with 0
//	code N vsctl [ARGS]        it exits with N
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
			"vsctl":  func(ts *testscript.TestScript, neg bool, args []string) { wantCode(ts, neg, exitOK, args) },
			"code": func(ts *testscript.TestScript, neg bool, args []string) {
				if len(args) < 2 || args[1] != "vsctl" {
					ts.Fatalf("usage: code N vsctl [ARGS]")
				}
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				wantCode(ts, neg, want, args[2:])
			},
			"learn": learn,
		},
	})
}

// wantCode runs vsctl in this process: the scripts do so some hundred times.
func wantCode(ts *testscript.TestScript, neg bool, want int, args []string) {
	if neg {
		ts.Fatalf("say which code it shall exit with: code N vsctl [ARGS]")
	}
	args = append([]string{"--socket", ts.Getenv(client.SocketVar)}, args...)
	if got := run(context.Background(), args, ts.Stdout(), ts.Stderr()); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// running are the scripts' daemons by socket: scripts run at once.
var running sync.Map

func startDaemon(ts *testscript.TestScript, _ bool, _ []string) {
	d, err := controltest.Start(ts.Getenv(client.SocketVar), nil)
	ts.Check(err)
	ts.Defer(func() { ts.Check(d.Close()) })
	running.Store(d.Socket, d)
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
