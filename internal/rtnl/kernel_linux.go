package rtnl

import (
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// KernelBefore reports whether the kernel that runs is older than a release:
// for what cannot be found out by trying.
func KernelBefore(major, minor int) bool { return before(release(), major, minor) }

var release = sync.OnceValue(func() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
})

// before compares a release such as 6.1.0-18-amd64. One that nobody can read
// is as new as can be.
func before(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	b := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	return err1 == nil && err2 == nil && (x < major || x == major && y < minor)
}
