package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counters returns the checksum errors that the stack has seen, by name.
func counters() (any, error) {
	found := map[string]uint64{}
	// Of the thread's own namespace: /proc/net is the process's first thread's.
	for _, name := range []string{"snmp", "netstat"} {
		if err := pairs("/proc/thread-self/net/"+name, found); err != nil {
			return nil, err
		}
	}
	if err := single("/proc/thread-self/net/snmp6", found); err != nil {
		return nil, err
	}
	for name := range found {
		if !strings.HasSuffix(name, "CsumErrors") {
			delete(found, name)
		}
	}
	return found, nil
}

// pairs reads lines of names, each followed by a line of values.
func pairs(path string, into map[string]uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		names := strings.Fields(sc.Text())
		if !sc.Scan() {
			return fmt.Errorf("%s: ends with names", path)
		}
		values := strings.Fields(sc.Text())
		for i := 1; i < len(names) && i < len(values); i++ {
			// Some are negative; none of those that are asked for.
			n, _ := strconv.ParseUint(values[i], 10, 64)
			into[strings.TrimSuffix(names[0], ":")+"."+names[i]] = n
		}
	}
	return nil
}

// single reads lines of a name and a value.
func single(path string, into map[string]uint64) error {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil // no IPv6
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			into[f[0]] = n
		}
	}
	return err
}

// setters are the ethtool commands that set one feature each (linux/ethtool.h).
var setters = map[string]uint32{
	"rx":  0x15, // ETHTOOL_SRXCSUM
	"tx":  0x17, // ETHTOOL_STXCSUM
	"sg":  0x19, // ETHTOOL_SSG
	"tso": 0x1f, // ETHTOOL_STSO
	"gso": 0x24, // ETHTOOL_SGSO
	"gro": 0x2c, // ETHTOOL_SGRO
}

// offload switches a feature of a device, as ethtool -K does.
func offload(ifname, feature string, on bool) error {
	cmd, ok := setters[feature]
	if !ok {
		return fmt.Errorf("no feature %q", feature)
	}
	value := struct{ cmd, data uint32 }{cmd: cmd}
	if on {
		value.data = 1
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var req struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(req.name[:unix.IFNAMSIZ-1], ifname)
	req.data = unsafe.Pointer(&value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return fmt.Errorf("set %s of %s: %w", feature, ifname, errno)
	}
	return nil
}
