package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Make makes a namespace with a name below [Dir], as `ip netns add` does, and
// opens it. A name that is taken is fs.ErrExist.
func Make(name string) (*NS, error) {
	path, err := Path(name)
	if err != nil || filepath.Dir(path) != Dir {
		return nil, fmt.Errorf("%q cannot name a network namespace", name)
	}
	if err := share(Dir); err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	file.Close()
	n, err := mount(path)
	if err != nil {
		os.Remove(path)
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return n, nil
}

// mount makes a namespace, and mounts it at a file.
func mount(path string) (n *NS, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, e := netns.Get()
		if err = e; err != nil {
			runtime.UnlockOSThread()
			return
		}
		defer home.Close()
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		if err == nil {
			n, err = Current()
		}
		// As in NS.do: a thread that cannot go back dies.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return n, err
}

// Remove takes a namespace its name. It ends when nothing else refers to it. One
// that is not there is fine.
func Remove(name string) error {
	path, err := Path(name)
	if err != nil || filepath.Dir(path) != Dir {
		return fmt.Errorf("%q cannot name a network namespace", name)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove network namespace %s: %w", name, err)
	}
	return nil
}

// share makes mounts in dir appear in all mount namespaces that have it from
// this one, and end there with them. So a namespace that is removed here is not
// kept by a program that was started in between (ip-netns(8) does the same).
func share(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	if err := unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, "")
}
