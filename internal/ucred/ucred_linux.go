// Package ucred tells who is at the far end of a Unix socket, and whether it
// will ever answer. Its functions may be called by anybody at any time.
package ucred

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of returns who connected, at the moment when it did, or who listens
// (unix(7), SO_PEERCRED). The process is 0 where it cannot be named from here.
func Of(nc net.Conn) unix.Ucred {
	nobody := unix.Ucred{Uid: ^uint32(0), Gid: ^uint32(0)}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return nobody
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nobody
	}
	cred := &nobody
	raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			cred = got
		}
	})
	return *cred
}

// Dying reports whether a process has been killed and is only being taken apart.
// With a thousand ports that takes the kernel half a minute, a packet socket
// after the other, and the control socket, among the oldest of its descriptors,
// comes last: so long it takes connections that nobody will ever answer.
func Dying(pid int32) bool {
	if pid == 0 {
		return false // of another PID namespace
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	// The name is in parentheses and may hold anything (proc(5)).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const flags, exiting = 6, 0x4 // PF_EXITING of include/linux/sched.h
	if len(fields) <= flags {
		return false
	}
	f, err := strconv.ParseUint(fields[flags], 10, 64)
	return err == nil && f&exiting != 0
}
