package ucred

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestWhoListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got := Of(nc); got.Pid != int32(os.Getpid()) || got.Uid != uint32(os.Getuid()) {
		t.Errorf("process %d of user %d listens, want %d of %d", got.Pid, got.Uid, os.Getpid(), os.Getuid())
	}
	if Dying(int32(os.Getpid())) {
		t.Error("this process is said to be dying")
	}
}

func TestDying(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := int32(cmd.Process.Pid)
	if Dying(pid) {
		t.Error("a process that sleeps is said to be dying")
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !Dying(pid) {
		t.Error("a process that has ended is not said to be dying")
	}
}
