package control_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/control"
)

func TestListenMakesSocketForRootAndGroup(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "folder", "s.sock")
	l, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := st.Mode(), fs.ModeSocket|0o660; got != want {
		t.Errorf("mode of the socket is %v, want %v", got, want)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close, Lstat says %v, want that the socket is gone", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("after Close there is %v, %v; want that the folders are gone, too", left, err)
	}
}

// TestListenerLeavesFoldersOfOthers holds that only what Listen made is taken
// away, and only when nobody has put anything there.
func TestListenerLeavesFoldersOfOthers(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	for _, in := range []string{theirs, used} {
		l, err := control.Listen(filepath.Join(in, "s"), "")
		if err != nil {
			t.Fatal(err)
		}
		if in == used {
			if err := os.WriteFile(filepath.Join(used, "notes"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		if _, err := os.Stat(in); err != nil {
			t.Errorf("the folder %s is gone: %v", in, err)
		}
	}
	if _, err := control.Listen(filepath.Join(dir, "new", "s"), "no-such-group"); err == nil {
		t.Error("Listen succeeds with a group that is not there")
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a refusal, Stat says %v, want that no folder was left", err)
	}
}

// TestFolderThatComesAndGoes holds that a daemon can start while another one
// that had made the folder ends.
func TestFolderThatComesAndGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "vswitchd")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				l, err := control.Listen(filepath.Join(dir, fmt.Sprint(i)), "")
				if err != nil {
					t.Error(err)
					return
				}
				l.Close()
			}
		})
	}
	wg.Wait()
	if unix.Setxattr(t.TempDir(), "trusted.test", nil, 0) != nil {
		return // where folders cannot be marked, who made one tries alone
	}
	wantGone := func() {
		t.Helper()
		if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Stat says %v, want that nothing is left", err)
		}
	}
	wantGone()

	// Who made it is killed, and the next one takes it away.
	killed, err := control.Listen(filepath.Join(dir, "s"), "")
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(dir, "s"))
	next, err := control.Listen(filepath.Join(dir, "s"), "")
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	wantGone()
	killed.Close()
}

// TestStrangerLocksTheSocketsFolder has somebody who may only look into the folder lock
// it, which stops nobody, and what a crash has left of our lock does not, either.
func TestStrangerLocksTheSocketsFolder(t *testing.T) {
	dir := t.TempDir()
	stranger, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := unix.Flock(int(stranger.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	if err := os.WriteFile(path+".lock", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(path, "")
	if err != nil {
		t.Fatalf("a stranger has locked the folder: %v", err)
	}
	l.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("what is left is %v, %v; want nothing", left, err)
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	alive := filepath.Join(dir, "alive")
	l, err := control.Listen(alive, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(alive, link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, group, want string }{
		{"where a daemon answers", alive, "", "another daemon answers"},
		{"a file", file, "", "is no socket"},
		{"a link", link, "", "is no socket"},
		{"a folder", dir, "", "is no socket"},
		{"a path that does not fit", "/tmp/" + strings.Repeat("x", 200), "", "choose a shorter one"},
		{"an unknown group", filepath.Join(dir, "s"), "no-such-group", "groupadd"},
		{"below a file", filepath.Join(file, "s"), "", "folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := control.Listen(c.path, c.group)
			if err == nil {
				l.Close()
				t.Fatalf("Listen(%q, %q) succeeds", c.path, c.group)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("Listen(%q, %q) = %v, want it to say %q", c.path, c.group, err, c.want)
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if _, err := net.Dial("unix", alive); err != nil {
		t.Errorf("the first daemon no longer answers: %v", err)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenerLeavesSomebodyElsesSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(path)
	second, err := control.Listen(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	first.Close()
	if _, err := net.Dial("unix", path); err != nil {
		t.Errorf("closing the first listener took the second's socket: %v", err)
	}
}

func TestOneOfManyDaemonsWins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won []net.Listener
	for range 10 {
		wg.Go(func() {
			if l, err := control.Listen(path, ""); err == nil {
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, l := range won {
		defer l.Close()
	}
	if len(won) != 1 {
		t.Errorf("%d daemons listen at one path, want 1", len(won))
	}
}

// TestListenReplacesSocketOfADyingProcess stands in for a daemon that was
// killed while it had a thousand ports: its first thread has ended, its
// descriptors are not closed yet.
func TestListenReplacesSocketOfADyingProcess(t *testing.T) {
	const variable = "VSWITCH_TEST_DIE_AT"
	if path := os.Getenv(variable); path != "" {
		if _, err := net.Listen("unix", path); err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("listening\n")
		endFirstThread()
		select {}
	}
	path := filepath.Join(t.TempDir(), "s.sock")
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), variable+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the process that dies does not take connections, so this shows nothing: %v", err)
	}
	conn.Close()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		l, err := control.Listen(path, "")
		if err == nil {
			l.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Listen says %v, want that it replaces the socket", err)
		}
	}
}

// endFirstThread ends the thread that the process began with, and it alone.
func endFirstThread() {
	for {
		first := make(chan bool)
		go func() {
			runtime.LockOSThread() // whichever thread it is
			defer runtime.UnlockOSThread()
			if unix.Gettid() != unix.Getpid() {
				first <- false
				return
			}
			first <- true
			unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
		}()
		if <-first {
			return
		}
	}
}

// TestPathsThatLeadElsewhere are refused: a socket is made, or replaced, where its path
// says.
func TestPathsThatLeadElsewhere(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	link := filepath.Join(dir, "link")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, dir + "/../" + filepath.Base(dir) + "/s", "../s"} {
		l, err := control.Listen(path, "")
		if err == nil {
			l.Close()
			t.Errorf("Listen at %s succeeds", path)
			continue
		}
		if !strings.Contains(err.Error(), "symbolic link") && !strings.Contains(err.Error(), "goes up by ..") {
			t.Errorf("Listen at %s: %v", path, err)
		}
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is something where the link leads: %v", err)
	}
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link is not as it was: %q, %v", to, err)
	}
}
