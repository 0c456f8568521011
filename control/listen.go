package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/ucred"
)

// Listen makes the control socket at path: 0660, of root and the group (named
// or numbered; "": the daemon's own). Its folder is made if it is not there. A
// socket at which nobody answers is replaced; where a daemon answers, or where
// something stands that is no socket, Listen refuses. Closing the listener
// removes the socket, and the folder if a daemon made it and it is empty.
func Listen(path, group string) (*Listener, error) {
	gid, err := groupID(group)
	if err == nil {
		err = CheckPath(path)
	}
	if err != nil {
		return nil, err
	}
	dir, err := enterFolder(path)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	made := false
	defer func() {
		dir.leave()
		if !made {
			dir.remove()
		}
	}()
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	// Whoever may connect before this is done is whom the umask of the
	// daemon lets in: nobody but root, usually.
	err = letIn(path, gid)
	var socket os.FileInfo
	if err == nil {
		socket, err = os.Lstat(path)
	}
	if err != nil {
		l.Close()
		os.Remove(path)
		return nil, err
	}
	made = true
	return &Listener{UnixListener: l, path: path, gid: gid, socket: socket, folder: dir}, nil
}

// CheckPath says what is wrong with the path of a control socket.
func CheckPath(path string) error {
	if path == "" || path[0] == '@' {
		// No file would stand for it (unix(7)), and nothing would say who may use it.
		return fmt.Errorf("%q is no path of a control socket: choose one of a file, such as /run/vswitchd/vswitchd.sock", path)
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		// Where it leads, links on the way decide.
		return fmt.Errorf("the socket's path %s goes up by ..: write it without", path)
	}
	const longest = len(unix.RawSockaddrUnix{}.Path) - 1
	if len(path) > longest {
		return fmt.Errorf("the socket's path %s is over %d characters: choose a shorter one", path, longest)
	}
	if st, err := os.Lstat(path); err == nil && st.Mode().Type() == fs.ModeSymlink {
		return fmt.Errorf("%s is a symbolic link, and is no socket: remove it, or choose another path with --socket", path)
	}
	return nil
}

// letIn has root and a group use the socket at path.
func letIn(path string, gid int) error {
	err := os.Chown(path, -1, gid)
	if err == nil {
		err = os.Chmod(path, 0o660)
	}
	if err != nil {
		return fmt.Errorf("set who may use the control socket: %w", err)
	}
	return nil
}

// Activated makes the control socket at path of a descriptor that a service manager
// handed over, which listens there already (sd_listen_fds(3)), for the group as
// [Listen] does. The socket stays the manager's: it outlives the listener. The
// descriptor is not used any more.
func Activated(fd int, path, group string) (*Listener, error) {
	if err := listensAt(fd, path); err != nil {
		unix.Close(fd)
		return nil, err
	}
	l, err := Adopt(fd, path, group)
	if err != nil {
		return nil, err
	}
	// It is not claimed: who connects is told that it is the manager, which waits for
	// the next daemon as well.
	if err := letIn(path, l.gid); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// listensAt returns an error for a descriptor that is no stream socket which listens
// at path.
func listensAt(fd int, path string) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	listens, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	at, err3 := unix.Getsockname(fd)
	file, isUnix := at.(*unix.SockaddrUnix)
	switch err := errors.Join(err, err2, err3); {
	case err != nil || !isUnix || kind != unix.SOCK_STREAM || listens == 0:
		return fmt.Errorf("what the service manager handed over is no Unix socket that listens for streams: write ListenStream=%s into its .socket unit", path)
	case file.Name != path:
		return fmt.Errorf("the service manager listens at %s, and not at %s: write the same behind ListenStream= and --socket", file.Name, path)
	}
	return nil
}

// Adopt returns the control socket at path, whose descriptor this process has got from
// another one. The socket is that one's until Claim, and who may use it is as that one
// had it until LetIn. The descriptor is not used any more.
func Adopt(fd int, path, group string) (*Listener, error) {
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	gid, err := groupID(group)
	if err != nil {
		return nil, err
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take over the control socket: %w", err)
	}
	own, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return nil, errors.New("take over the control socket: what was handed over is no Unix socket")
	}
	own.SetUnlinkOnClose(false)
	dir, err := folderOf(path)
	if err != nil {
		own.Close()
		return nil, err
	}
	socket, err := os.Lstat(path)
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("take over the control socket: %w", err)
	}
	adopted := &Listener{UnixListener: own, path: path, gid: gid, socket: socket, folder: dir}
	adopted.left.Store(true)
	return adopted, nil
}

// Listener is the control socket. It removes it as it closes, unless another one
// stands there, or it was left.
type Listener struct {
	*net.UnixListener
	path   string
	gid    int // of the group that was told; -1: none was
	socket os.FileInfo
	folder *folder
	left   atomic.Bool
	once   sync.Once // what comes there after the first Close is others'

	mu     sync.Mutex
	paused chan struct{} // closed when connections are taken again; nil: they are
}

// Accept returns the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.UnixListener.Accept()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		l.mu.Lock()
		paused := l.paused
		l.mu.Unlock()
		if paused != nil {
			<-paused
		}
	}
}

// Pause has connections wait until Resume.
func (l *Listener) Pause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.paused == nil {
		l.paused = make(chan struct{})
	}
	return l.SetDeadline(time.Unix(1, 0))
}

// Resume ends Pause.
func (l *Listener) Resume() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.resumeLocked()
}

func (l *Listener) resumeLocked() error {
	err := l.SetDeadline(time.Time{})
	if l.paused != nil {
		close(l.paused)
		l.paused = nil
	}
	return err
}

// Claim makes a socket that was adopted this process's.
func (l *Listener) Claim() error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var claimed error
	// Who connects from now on is told that it is us.
	err = raw.Control(func(fd uintptr) { claimed = unix.Listen(int(fd), unix.SOMAXCONN) })
	if err := errors.Join(err, claimed); err != nil {
		return fmt.Errorf("take over the control socket: %w", err)
	}
	l.left.Store(false)
	return nil
}

// LetIn has the group use the socket that it was told to; without one, nobody's but
// the process's own.
func (l *Listener) LetIn() error {
	if l.gid < 0 {
		return letIn(l.path, os.Getegid())
	}
	return letIn(l.path, l.gid)
}

// Leave has Close leave the socket to another process.
func (l *Listener) Leave() { l.left.Store(true) }

// Close closes the listener, and removes the socket.
func (l *Listener) Close() error {
	l.once.Do(func() {
		if l.left.Load() {
			return
		}
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.socket) {
			os.Remove(l.path)
		}
		// Where another daemon is about to make a socket, its lock's file is there.
		l.folder.remove()
	})
	err := l.UnixListener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumeLocked() // who waits there sees that it is closed
	return err
}

// removeStale makes way for a new socket, if there is nobody behind the old.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for the control socket: %w", err)
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket: move it away, or choose another path with --socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		if ucred.Dying(ucred.Of(conn).Pid) {
			err = syscall.ECONNREFUSED
		}
		conn.Close()
	}
	switch {
	case err == nil:
		return fmt.Errorf("another daemon answers at %s: stop it first, or choose another path with --socket", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove the stale control socket: %w", err)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	// Its queue of connections may be full: it is somebody's, then.
	return fmt.Errorf("another daemon may stand behind %s: %w; stop it first, or choose another path with --socket", path, err)
}

// groupID returns the number of a group; -1, which changes nothing, for "".
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(group, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, fmt.Errorf("no group %q: make it with groupadd --system %s, or name another with --socket-group", group, group)
	}
	return strconv.Atoi(g.Gid)
}
