package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vswitch/vswitch/api/client"
)

func TestDaemonThatDoesNotAnswerInTime(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket) // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var stdout, stderr strings.Builder
	code := run(context.Background(), []string{"--socket", socket, "--timeout", "50ms", "show"}, &stdout, &stderr)
	if code != exitNoDaemon || !strings.Contains(stderr.String(), socket) || !strings.Contains(stderr.String(), "--timeout") {
		t.Errorf("exit code %d, %q; want %d and the path", code, stderr.String(), exitNoDaemon)
	}
}

func TestInterruptEndsAtOnce(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends with the first client
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			cancel()
			<-ctx.Done()
		}
	}()
	var stdout, stderr strings.Builder
	begin := time.Now()
	code := run(ctx, []string{"--socket", socket, "port", "add", "p1", "--tap"}, &stdout, &stderr)
	if code != exitInterrupted || !strings.Contains(stderr.String(), "interrupted") || time.Since(begin) > 5*time.Second {
		t.Errorf("exit code %d after %v, %q; want %d", code, time.Since(begin), stderr.String(), exitInterrupted)
	}
}

func TestProgramEndsOnSIGINT(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "show")
	cmd.Env = append(os.Environ(), asProgram+"=1", client.SocketVar+"="+socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept() // it has begun to ask
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
}

// full is where nothing can be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, net.ErrClosed }

func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	var stderr strings.Builder
	code := run(context.Background(), []string{"--socket", "/nowhere", "doctor"}, full{}, &stderr)
	if code != exitRefused {
		t.Errorf("exit code %d, %q; want %d", code, stderr.String(), exitRefused)
	}
}

func TestFlagsBeforeAnAlias(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", ""},
		{"--may-exist add-br br0", "add-br --may-exist br0"},
		{"--socket x --may-exist add-port br0 p", "--socket x add-port --may-exist br0 p"},
		{"--socket=x -j --if-exists del-br br0", "--socket=x -j del-br --if-exists br0"},
		{"-- --may-exist add-br br0", "add-br --may-exist br0"},
		{"-- add-br br0", "add-br br0"},
		{"--may-exist port add x", "--may-exist port add x"},
		{"port add add-br --may-exist", "port add add-br --may-exist"},
		{"--socket", "--socket"},
	} {
		got := strings.Join(aliasFlagsLast(strings.Fields(c.args)), " ")
		if got != c.want {
			t.Errorf("aliasFlagsLast(%q) = %q, want %q", c.args, got, c.want)
		}
	}
}

func TestBriefNumbersFitFiveCharacters(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0", 9999: "9999", 10000: "10.0k", 12345: "12.3k", 99949: "99.9k", 99950: "100k", 999499: "999k", 999500: "1.00M",
		1_000_000: "1.00M", 9_994_999: "9.99M", 9_995_000: "10.0M", 1 << 63: "9.22E", 1<<64 - 1: "18.4E",
	} {
		if got := brief(n); got != want {
			t.Errorf("brief(%d) = %q, want %q", n, got, want)
		}
	}
	for n := uint64(1); n != 0; n *= 2 {
		for _, v := range []uint64{n - 1, n, n + n/3} {
			if got := brief(v); len(got) > 5 {
				t.Errorf("brief(%d) = %q, which is over five characters", v, got)
			}
		}
	}
}

// What parsePort takes, it gives back alike, in two parts that are names.
func FuzzPortName(f *testing.F) {
	for _, seed := range []string{"p1", "sw0/p1", "a/b/c", "/", "sw0/", "/p1", "", ".", "-x", "a b", "é", "p\x00", strings.Repeat("x", 33)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parsePort(s, "sw0")
		if err != nil {
			return
		}
		if n.String() != s && n.String() != "sw0/"+s {
			t.Errorf("parsePort(%q) = %s", s, n)
		}
		for _, part := range []string{n.sw, n.port} {
			odd := func(r rune) bool {
				return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", r)
			}
			if part == "" || len(part) > 32 || strings.ContainsFunc(part, odd) || slices.Contains([]byte("._-"), part[0]) {
				t.Errorf("parsePort(%q) takes %q for a name", s, part)
			}
		}
	})
}
