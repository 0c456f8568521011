package port

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
)

// fileWatch watches the files that stand for namespaces. A namespace can lose
// its name and live on, with our device in it, as long as a process is inside;
// netlink says nothing then.
//
// Names come and go in two ways. Files appear and vanish in folders: inotify.
// And a namespace is mounted on a file, as ip-netns(8) does after it made the
// file, or unmounted: the kernel tells that the mounts of the process changed
// (poll(2) on /proc/self/mountinfo, see proc(5)), not which. One thread waits
// for both; where neither happens it sleeps.
type fileWatch struct {
	post    func(...Key)
	log     *slog.Logger
	inotify int
	mounts  int
	wake    int // eventfd: the sets below changed, or the end

	mu      sync.Mutex
	ended   bool
	held    map[string]*heldFile // namespaces with ports in them
	awaited map[string]struct{}  // files where somebody missed a namespace
	exits   map[int]Key          // pidfds, and what is told when they end
	dirs    map[string]int       // watched folders: inotify's numbers
	names   map[int][]string     // the other way round: one folder can have many names
	wanted  map[string]struct{}  // folders to watch
}

type heldFile struct {
	id    netns.ID
	ports int
}

// maxAwaited bounds what nobody may ever come back for.
const maxAwaited = 4096

// A burst of changes of mounts is gathered, so that looking after them takes a
// tenth of the time at the most.
const (
	scanPause   = 20 * time.Millisecond
	scanShare   = 10
	longestScan = 300 * time.Millisecond
)

func newFileWatch(post func(...Key), log *slog.Logger) (*fileWatch, error) {
	w := &fileWatch{
		post: post, log: log, inotify: -1, mounts: -1, wake: -1,
		held:    map[string]*heldFile{},
		awaited: map[string]struct{}{},
		exits:   map[int]Key{},
		dirs:    map[string]int{},
		names:   map[int][]string{},
		wanted:  map[string]struct{}{},
	}
	var err error
	if w.inotify, err = unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK); err != nil {
		// Mounts tell of what ip-netns(8) does; of links to namespaces that
		// come and go nobody tells then.
		log.Warn("files are not watched; fs.inotify.max_user_instances may be too small", "err", err)
		w.inotify = -1
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		w.closeFiles()
		return nil, fmt.Errorf("make an eventfd: %w", err)
	}
	if w.mounts, err = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		w.closeFiles()
		return nil, fmt.Errorf("watch mounts: %w", err)
	}
	w.mu.Lock()
	w.wantLocked(netns.Dir)
	w.mu.Unlock()
	return w, nil
}

func (w *fileWatch) closeFiles() {
	for _, fd := range []int{w.inotify, w.mounts, w.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// close ends run, which closes the descriptors.
func (w *fileWatch) close() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.kick()
}

func (w *fileWatch) kick() { unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// hold watches path for a port that is in the namespace id, until drop.
func (w *fileWatch) hold(path string, id netns.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.awaited, path)
	if h := w.held[path]; h != nil {
		h.ports++
		h.id = id // ports in an older one find out, or have
		return
	}
	w.held[path] = &heldFile{id, 1}
	w.wantLocked(filepath.Dir(path))
}

func (w *fileWatch) drop(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if h := w.held[path]; h != nil {
		if h.ports--; h.ports == 0 {
			delete(w.held, path)
		}
	}
}

// await watches path for the namespace that somebody missed there.
func (w *fileWatch) await(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.awaited) < maxAwaited {
		w.awaited[path] = struct{}{}
	}
	w.wantLocked(filepath.Dir(path))
}

// exit posts key once when the process of pidfd ends, and closes pidfd then,
// or when forget is called.
func (w *fileWatch) exit(pidfd int, key Key) (forget func()) {
	w.mu.Lock()
	w.exits[pidfd] = key
	w.mu.Unlock()
	w.kick()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.exits[pidfd] == key {
			w.exits[pidfd] = Key{} // run closes it: it may be polling it
			w.kick()
		}
	}
}

// wantLocked watches a folder, or the nearest one above it that exists until
// it does. Folders of /proc tell nothing.
func (w *fileWatch) wantLocked(dir string) {
	if _, ok := w.dirs[dir]; ok || w.inotify < 0 || dir == "/proc" || strings.HasPrefix(dir, "/proc/") {
		return
	}
	const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	n, err := unix.InotifyAddWatch(w.inotify, dir, mask)
	if err == nil {
		w.dirs[dir] = n
		w.names[n] = append(w.names[n], dir)
		delete(w.wanted, dir)
		return
	}
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
		w.log.Warn("a folder of namespaces is not watched", "folder", dir, "err", err)
		return
	}
	w.wanted[dir] = struct{}{}
	if dir != "/" {
		w.wantLocked(filepath.Dir(dir))
	}
}

// run waits for changes and posts them, until close.
func (w *fileWatch) run() {
	defer w.closeFiles()
	pause := scanPause
	for {
		fds, ended := w.pollSet()
		if ended {
			return
		}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			w.log.Error("files are not watched any more", "err", err)
			return
		}
		var b [8]byte
		unix.Read(w.wake, b[:])
		w.exited(fds[3:])
		changed := w.readInotify()
		if fds[1].Revents&(unix.POLLERR|unix.POLLPRI) != 0 {
			time.Sleep(pause) // deleting a thousand is a thousand changes
			changed = true
		}
		if changed {
			began := time.Now()
			w.scan()
			pause = min(max(scanPause, scanShare*time.Since(began)), longestScan)
		}
	}
}

func (w *fileWatch) pollSet() (fds []unix.PollFd, ended bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fds = []unix.PollFd{
		{Fd: int32(w.inotify), Events: unix.POLLIN},
		{Fd: int32(w.mounts), Events: unix.POLLPRI},
		{Fd: int32(w.wake), Events: unix.POLLIN},
	}
	for pidfd, key := range w.exits {
		if key == (Key{}) {
			unix.Close(pidfd)
			delete(w.exits, pidfd)
			continue
		}
		fds = append(fds, unix.PollFd{Fd: int32(pidfd), Events: unix.POLLIN})
	}
	if w.ended {
		for pidfd := range w.exits {
			unix.Close(pidfd)
		}
	}
	return fds, w.ended
}

// exited posts the processes that ended.
func (w *fileWatch) exited(fds []unix.PollFd) {
	w.mu.Lock()
	var keys []Key
	for _, p := range fds {
		if p.Revents != 0 && w.exits[int(p.Fd)] != (Key{}) {
			keys = append(keys, w.exits[int(p.Fd)])
			w.exits[int(p.Fd)] = Key{}
		}
	}
	w.mu.Unlock()
	w.post(keys...)
}

// readInotify posts the files that changed, and reports whether some did.
func (w *fileWatch) readInotify() (changed bool) {
	var buf [16 << 10]byte
	for {
		n, err := unix.Read(w.inotify, buf[:])
		if err != nil || n < unix.SizeofInotifyEvent {
			return changed
		}
		changed = true
		w.mu.Lock()
		var keys []Key
		for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
			e, name, rest := inotifyEvent(b)
			b = rest
			if e.mask&unix.IN_MOVE_SELF != 0 {
				unix.InotifyRmWatch(w.inotify, uint32(e.wd)) // IN_IGNORED follows
				continue
			}
			for _, dir := range w.names[e.wd] {
				if e.mask&unix.IN_IGNORED != 0 {
					delete(w.dirs, dir)
					w.wanted[dir] = struct{}{}
				} else if name != "" {
					keys = append(keys, fileKey(filepath.Join(dir, name)))
				}
			}
			if e.mask&unix.IN_IGNORED != 0 {
				delete(w.names, e.wd)
			}
		}
		for dir := range w.wanted {
			w.wantLocked(dir)
		}
		w.mu.Unlock()
		w.post(keys...)
	}
}

// scan compares every file that matters with what it was.
func (w *fileWatch) scan() {
	w.mu.Lock()
	var keys []Key
	for path, h := range w.held {
		if id, ok := netns.Identify(path); !ok || id != h.id {
			keys = append(keys, fileKey(path))
		}
	}
	for path := range w.awaited {
		if _, ok := netns.Identify(path); ok {
			keys = append(keys, fileKey(path))
			delete(w.awaited, path)
		}
	}
	w.mu.Unlock()
	w.post(keys...)
}
