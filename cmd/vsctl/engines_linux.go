package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// engineTime is how long a container engine may take to answer. The daemon
// waits longer, but nobody is served well by such a one.
const engineTime = 5 * time.Second

// checkContainers asks the container engines that are installed for a list.
func checkContainers(ctx context.Context) finding {
	var work, fail, mend []string
	for _, name := range []string{"podman", "docker"} {
		program, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if err := askEngine(ctx, program); err != nil {
			fail = append(fail, fmt.Sprintf("%s cannot be asked for containers: %v", name, err))
			mend = append(mend, name+" ps")
			continue
		}
		work = append(work, name)
	}
	well := strings.Join(work, " and ") + " can be asked for containers"
	if len(work) > 0 && len(fail) > 0 {
		fail = append([]string{well}, fail...)
	}
	switch {
	case len(work)+len(fail) == 0:
		return finding{"containers", warned, "neither podman nor docker is there: --container cannot be used", "apt-get install podman, if you want it"}
	case len(fail) > 0:
		return finding{"containers", warned, strings.Join(fail, "; "), "if you want its containers: start its service, until this works: " + strings.Join(mend, "; ")}
	}
	return finding{"containers", okay, well, ""}
}

// askEngine says in the engine's own words why it does not list containers.
func askEngine(ctx context.Context, program string) error {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "ps", "--quiet")
	// It may be a script: what that runs ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = time.Second
	_, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("no answer within %v", engineTime)
	case errors.As(err, &exit) && len(exit.Stderr) > 0:
		said := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return errors.New(said[len(said)-1])
	}
	return err
}
