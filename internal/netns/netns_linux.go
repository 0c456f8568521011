package netns

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is an open network namespace. It keeps the namespace alive until Close.
type NS struct {
	handle netns.NsHandle
	id     ID
}

// Open opens the namespace that ref names: see [Path]. What it refuses is an
// [*Error].
func Open(ref string) (*NS, error) {
	path, err := Path(ref)
	if err != nil {
		return nil, err
	}
	// O_PATH first: opening what somebody else put there could block, or do
	// something.
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ESRCH):
		return nil, missing(ref, path)
	case err != nil:
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer unix.Close(at)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(at, &fs); err != nil || fs.Type != unix.NSFS_MAGIC {
		return nil, notNetns(ref, path)
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", at), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	n, err := adopt(netns.NsHandle(fd))
	if err != nil {
		return nil, notNetns(ref, path)
	}
	return n, nil
}

// Current opens the namespace of the calling thread.
func Current() (*NS, error) {
	h, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("open the own network namespace: %w", err)
	}
	return adopt(h)
}

// adopt takes over h, also when it returns an error.
func adopt(h netns.NsHandle) (*NS, error) {
	kind, err := unix.IoctlRetInt(int(h), unix.NS_GET_NSTYPE)
	if err == nil && kind != unix.CLONE_NEWNET {
		err = unix.EINVAL
	}
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(h), &st)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return &NS{h, ID{st.Dev, st.Ino}}, nil
}

// Identify returns the identity of the namespace whose file is at path; ok is
// false where there is none.
func Identify(path string) (id ID, ok bool) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(path, &fs) != nil || fs.Type != unix.NSFS_MAGIC || unix.Stat(path, &st) != nil {
		return ID{}, false
	}
	return ID{st.Dev, st.Ino}, true
}

// ID returns what tells n from other namespaces.
func (n *NS) ID() ID { return n.id }

// FD returns the descriptor; it stays n's.
func (n *NS) FD() int { return int(n.handle) }

// Close gives the reference back.
func (n *NS) Close() error { return n.handle.Close() }

// Do runs fn inside the namespace, on a thread of its own, and returns when it
// has. Sockets that fn opens belong to the namespace for good. What fn starts
// with go is not inside.
func (n *NS) Do(fn func() error) error {
	done := make(chan error)
	go func() { done <- n.do(fn) }()
	return <-done
}

func (n *NS) do(fn func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread is the process to all who look from outside
		// (/proc/PID/ns/net): it stays where it is. Locked to this
		// goroutine, it cannot be given to the next.
		defer runtime.UnlockOSThread()
		return n.Do(fn)
	}
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the own network namespace: %w", err)
	}
	defer home.Close()
	if err := netns.Set(n.handle); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the network namespace: %w", err)
	}
	defer func() {
		// A thread that cannot go back must not serve other goroutines:
		// left locked, it dies with this one.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return fn()
}
