package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// monitor opens a TAP as a VM monitor does, and reads what comes until it is
// ended: a guest that listens and never answers. Stopped, it is one whose
// processor hangs.
func monitor(ifname string) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(ifname)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("attach to TAP %s: %w", ifname, err)
	}
	// Only now: before it was attached, the runtime could not have waited for it.
	tap := os.NewFile(uintptr(fd), ifname)
	defer tap.Close()
	fmt.Println("attached")
	buf := make([]byte, 1<<17)
	for {
		if _, err := tap.Read(buf); err != nil {
			return err
		}
	}
}
