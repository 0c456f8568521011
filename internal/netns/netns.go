// Package netns opens network namespaces by the words that people use for
// them, tells one from another, and runs functions inside.
//
// It keeps nothing open by itself: a namespace lives as long as something
// refers to it, so an [NS] that is held keeps a namespace alive that everybody
// believes deleted. Open, use, close. All functions may be called from any
// goroutine at once.
package netns

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Dir is where ip-netns(8) keeps the namespaces that have names.
const Dir = "/run/netns"

// ID tells one namespace from another as long as both live: device and inode
// of its file (ioctl_ns(2)). The kernel gives the inode of a dead namespace to
// the next one.
type ID struct{ Dev, Ino uint64 }

// Error says why a namespace cannot be had. Its text is for people.
type Error struct {
	Ref     string // as it was asked for
	Missing bool   // there is nothing of that name
	Invalid bool   // nothing could be called so
	message string
}

func (e *Error) Error() string { return e.message }

// Path returns the file that stands for a namespace: NAME below [Dir], /PATH,
// or pid:N.
func Path(ref string) (string, error) {
	if filepath.IsAbs(ref) {
		return filepath.Clean(ref), nil
	}
	if pid, ok := PID(ref); ok {
		return fmt.Sprintf("/proc/%d/ns/net", pid), nil
	}
	if ref == "" || ref == "." || ref == ".." || strings.ContainsAny(ref, "/:\x00") {
		return "", &Error{Ref: ref, Invalid: true, message: fmt.Sprintf("%q is not a network namespace: write a name that ip netns list shows, the /path of its file, or pid:N", ref)}
	}
	return filepath.Join(Dir, ref), nil
}

// PID returns N of pid:N.
func PID(ref string) (pid int, ok bool) {
	digits, ok := strings.CutPrefix(ref, "pid:")
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(digits)
	return pid, err == nil && pid > 0 && digits[0] != '+'
}

// missing explains that nothing is called ref.
func missing(ref, path string) error {
	e := &Error{Ref: ref, Missing: true}
	pid, isPID := PID(ref)
	switch {
	case isPID:
		e.message = fmt.Sprintf("process %d does not exist: lsns -t net shows namespaces with a process of each", pid)
	case filepath.IsAbs(ref):
		e.message = fmt.Sprintf("there is no network namespace at %s: lsns -t net shows those that are there; one with a name is made with: ip netns add NAME", path)
	default:
		e.message = fmt.Sprintf("there is no network namespace %s: make it with: ip netns add %s", ref, ref)
	}
	return e
}

// notNetns explains that the file of ref is something else.
func notNetns(ref, path string) error {
	return &Error{Ref: ref, message: fmt.Sprintf("%s is not a network namespace: name one that ip netns list shows, or the /path of its file", path)}
}
