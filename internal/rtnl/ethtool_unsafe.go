//go:build linux

package rtnl

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ifreqData is struct ifreq with ifr_data, for SIOCETHTOOL.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the union is 24 octets long where pointers have 8
}

// ethtool makes the request that arg holds (its first four octets say which);
// the answer is in arg.
func ethtool(fd int, device string, arg []byte) error {
	var req ifreqData
	if len(device) >= len(req.name) {
		return unix.ENODEV
	}
	copy(req.name[:], device)
	req.data = unsafe.Pointer(&arg[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(arg)
	if errno != 0 {
		return errno
	}
	return nil
}

// stringTable returns a table of names: struct ethtool_sset_info, then struct
// ethtool_gstrings.
func stringTable(fd int, device string, set uint32) ([]string, error) {
	info := make([]byte, 4+4+8+4)
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<set)
	if err := ethtool(fd, device, info); err != nil {
		return nil, err
	}
	n := int(binary.NativeEndian.Uint32(info[16:]))
	arg := make([]byte, 12+n*stringLen)
	binary.NativeEndian.PutUint32(arg, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(arg[4:], set)
	binary.NativeEndian.PutUint32(arg[8:], uint32(n))
	if err := ethtool(fd, device, arg); err != nil {
		return nil, err
	}
	table := make([]string, n)
	for i := range table {
		table[i] = unix.ByteSliceToString(arg[12+i*stringLen:][:stringLen])
	}
	return table, nil
}

// setFeatures turns off the features whose bits are set: struct
// ethtool_sfeatures.
func setFeatures(fd int, device string, off []uint32) error {
	arg := make([]byte, 8+8*len(off))
	binary.NativeEndian.PutUint32(arg, unix.ETHTOOL_SFEATURES)
	binary.NativeEndian.PutUint32(arg[4:], uint32(len(off)))
	for i, bits := range off {
		binary.NativeEndian.PutUint32(arg[8+8*i:], bits) // valid; requested stays 0
	}
	return ethtool(fd, device, arg)
}

// ifreqIndex is struct ifreq with ifr_ifindex.
type ifreqIndex struct {
	name  [unix.IFNAMSIZ]byte
	index int32
	_     [20]byte
}

// nameOf returns the name of the device with that index.
func nameOf(fd, index int) (string, error) {
	req := ifreqIndex{index: int32(index)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFNAME, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return "", errno
	}
	return unix.ByteSliceToString(req.name[:]), nil
}

// hasCarrier reports whether a device has a carrier: struct ethtool_value.
func hasCarrier(fd int, device string) (bool, error) {
	arg := make([]byte, 8)
	binary.NativeEndian.PutUint32(arg, unix.ETHTOOL_GLINK)
	if err := ethtool(fd, device, arg); err != nil {
		return false, err
	}
	return binary.NativeEndian.Uint32(arg[4:]) != 0, nil
}
