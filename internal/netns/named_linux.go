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
// opens it. A name that is taken is fs.ErrExist. prepare is called inside before the
// name is there, and note is what [Note] returns of a name whose maker was killed
// before the namespace had it.
func Make(name, note string, prepare func() error) (*NS, error) {
	path, err := Path(name)
	if err != nil || filepath.Dir(path) != Dir {
		return nil, fmt.Errorf("%q cannot name a network namespace", name)
	}
	if err := share(Dir); err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	if err := write(path, note); err != nil {
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	n, err := mount(path, prepare)
	if err != nil {
		os.Remove(path)
		return nil, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return n, nil
}

// write makes a file with a text, at once.
func write(path, text string) error {
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		return err
	}
	err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: "a file", New: path, Err: err}
	}
	return nil
}

// Note returns what was noted at a name below [Dir] that has no namespace; "" where
// there is nothing, or a namespace.
func Note(name string) string {
	text, err := os.ReadFile(filepath.Join(Dir, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// mount makes a namespace, prepares it, and mounts it at a file.
func mount(path string, prepare func() error) (n *NS, err error) {
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
			err = prepare()
		}
		if err == nil {
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
