package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/initramfs"
)

// Request asks the guest to run a program, or to kill one that runs.
type request struct {
	ID   int      `json:"id"`
	Argv []string `json:"argv"`
	Kill bool     `json:"kill"`
}

// reply tells of its end. The one with ID 0 says that the guest is up.
type reply struct {
	ID     int    `json:"id"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	Code   int    `json:"code"`
}

// serve is process 1 of a guest: it brings the machine up and runs what comes
// over the virtio-serial port, each command on its own, until the end.
func serve() error {
	if err := boot(); err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards running, and writing to port
	running := map[int]*exec.Cmd{}
	answer := func(r reply) {
		mu.Lock()
		defer mu.Unlock()
		delete(running, r.ID)
		if err := json.NewEncoder(port).Encode(r); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
		}
	}
	answer(reply{})
	lines := bufio.NewScanner(port)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var req request
		if err := json.Unmarshal(lines.Bytes(), &req); err != nil {
			return err
		}
		if req.Kill {
			mu.Lock()
			if cmd := running[req.ID]; cmd != nil {
				_ = cmd.Process.Kill()
			}
			mu.Unlock()
			continue
		}
		if req.Argv[0] == "/agent" {
			// Here: to start a program takes long without acceleration.
			go func() { answer(runHere(req)) }()
			continue
		}
		cmd := exec.Command(req.Argv[0], req.Argv[1:]...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			answer(reply{ID: req.ID, Stderr: err.Error() + "\n", Code: 127})
			continue
		}
		mu.Lock()
		running[req.ID] = cmd
		mu.Unlock()
		go func() {
			err := cmd.Wait()
			r := reply{ID: req.ID, Stdout: stdout.String(), Stderr: stderr.String()}
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				r.Code = exit.ExitCode()
			} else if err != nil {
				r.Code, r.Stderr = 126, r.Stderr+err.Error()
			}
			answer(r)
		}()
	}
	return lines.Err()
}

// runHere carries out a command of the agent itself.
func runHere(req request) reply {
	r := reply{ID: req.ID}
	result, err := run(req.Argv[1:])
	if err == nil && result != nil {
		var out []byte
		out, err = json.Marshal(result)
		r.Stdout = string(out) + "\n"
	}
	if err != nil {
		r.Code, r.Stderr = 1, err.Error()+"\n"
	}
	return r
}

// boot mounts what programs expect and loads the modules.
func boot() error {
	for _, m := range []struct{ fs, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m.fs, m.at, m.fs, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	if err := initramfs.LoadModules("/modules"); err != nil {
		return err
	}
	if err := os.Setenv("PATH", "/bin:/"); err != nil {
		return err
	}
	// Addresses are in force at once: nobody else has them.
	for _, conf := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+conf+"/accept_dad", []byte("0"), 0); err != nil {
			return err
		}
	}
	return exec.Command("/bin/ip", "link", "set", "lo", "up").Run()
}

// openPort opens the first virtio-serial port, which the driver makes a moment
// after its module is loaded.
func openPort() (*os.File, error) {
	for deadline := time.Now().Add(patience); ; {
		f, err := os.OpenFile("/dev/vport0p1", os.O_RDWR, 0)
		if err == nil || time.Now().After(deadline) {
			return f, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
