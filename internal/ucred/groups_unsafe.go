package ucred

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Groups returns the supplementary groups of who connected, at the moment when it did
// (SO_PEERGROUPS, since Linux 4.13); none where they cannot be told.
func Groups(nc net.Conn) (groups []uint32) {
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) {
		room := make([]uint32, 64)
		for {
			size := uint32(len(room) * 4)
			_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
				uintptr(unsafe.Pointer(&room[0])), uintptr(unsafe.Pointer(&size)), 0)
			if errno == unix.ERANGE && int(size) > len(room)*4 {
				room = make([]uint32, size/4)
				continue
			}
			if errno == 0 {
				groups = room[:size/4]
			}
			return
		}
	})
	return groups
}
