package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that the daemon keeps, of those that it has, as the bits
// of a set; docs/security.md says what for.
const needed uint64 = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_BROADCAST |
	1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE

// confine gives up what the process may do and the daemon does not need, for good, and
// for all programs that it starts. Capabilities are a thread's, and a Go program has
// several before main: what a thread has is what it passes on to the program that it
// becomes, so the process becomes itself once more. What cannot be given up is an
// error. Whether all is given up the kernel says, and nothing that is inherited from
// who starts us.
func confine() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	has, err := capabilities()
	if err != nil {
		return err
	}
	closed, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("look for new privileges: %w", err)
	}
	if closed == 1 && (has.permitted|has.inheritable)&^needed == 0 {
		// Who became itself by that name is called exe by ps and top.
		_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0) // not without /proc
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	keep := has.permitted & needed
	if err := bound(keep); err != nil {
		return err
	}
	if err := limit(keep); err != nil {
		return err
	}
	err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("become a program with fewer capabilities: %w: where its file has some (getcap), let it have none but those that are needed", err)
	}
	return fmt.Errorf("become a program with fewer capabilities: %w", err)
}

// sets are capabilities of a thread.
type sets struct{ permitted, inheritable uint64 }

func capabilities() (sets, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return sets{}, fmt.Errorf("look for capabilities: %w", err)
	}
	return sets{
		permitted:   uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted),
		inheritable: uint64(data[1].Inheritable)<<32 | uint64(data[0].Inheritable),
	}, nil
}

// bound has no program that this thread becomes, or starts, have more than keep.
func bound(keep uint64) error {
	for c := uintptr(0); ; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // past the last that this kernel knows
		}
		if errors.Is(err, unix.EPERM) {
			return nil // without CAP_SETPCAP: no new privileges are to be had by it
		}
		if err != nil {
			return fmt.Errorf("give up capability %d: %w", c, err)
		}
	}
}

// limit has this thread, and what it becomes, have just keep. What a user other than
// root takes along when it becomes a program are the ambient ones, which are inheritable;
// those of the file count for nothing without new privileges.
func limit(keep uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	for i := range data {
		half := uint32(keep >> (32 * i))
		data[i] = unix.CapUserData{Effective: half, Permitted: half, Inheritable: half}
	}
	if err := unix.Capset(&header, &data[0]); err != nil { // ambient ones that are not inheritable go
		return fmt.Errorf("give up capabilities: %w", err)
	}
	for c := uintptr(0); c < 64; c++ {
		if keep&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return fmt.Errorf("keep capability %d: %w", c, err)
		}
	}
	return nil
}
