package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that the daemon keeps; docs/security.md says what for.
var needed = []uintptr{
	unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BROADCAST, unix.CAP_SYS_ADMIN,
	unix.CAP_SYS_PTRACE, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE,
}

// confinedVar says that the process is confined, as it is what it has become.
const confinedVar = "VSWITCHD_CONFINED"

// confine gives up what root may do and the daemon does not need, for good, and for
// all programs that it starts. Capabilities are a thread's, and a Go program has
// several before main: the bounding set is what a thread passes on to the program that
// it becomes, so the process becomes itself once more. What cannot be given up is an
// error. A daemon that is not root's has no more than it was given.
func confine() error {
	confined := os.Getenv(confinedVar) != ""
	os.Unsetenv(confinedVar) // not for programs that we start
	if confined || os.Geteuid() != 0 {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	for c := uintptr(0); ; c++ {
		if slices.Contains(needed, c) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // past the last that this kernel knows
		}
		if errors.Is(err, unix.EPERM) {
			break // without CAP_SETPCAP: somebody else has seen to it
		}
		if err != nil {
			return fmt.Errorf("give up capability %d: %w", c, err)
		}
	}
	err := unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), confinedVar+"=1"))
	return fmt.Errorf("become a program with fewer capabilities: %w", err)
}
