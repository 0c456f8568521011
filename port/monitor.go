package port

import (
	"errors"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// monitor gathers what changes around ports, from netlink, from the files that
// stand for namespaces and from container engines, and hands it on without
// ever making those wait: changes that nobody has taken yet become one event.
type monitor struct {
	log    *slog.Logger
	conn   *rtnl.Conn
	self   *netns.NS // the daemon's namespace
	links  *rtnl.Listener
	files  *fileWatch
	events chan Event
	stop   chan struct{}
	wg     sync.WaitGroup

	mu      sync.Mutex
	pending map[Key]struct{}
	all     bool
	wake    chan struct{} // holds one token while something is pending
}

// maxPending is how many keys wait before everything is told instead.
const maxPending = 1 << 14

func newMonitor(conn *rtnl.Conn, self *netns.NS, log *slog.Logger) (*monitor, error) {
	m := &monitor{
		log:     log,
		conn:    conn,
		self:    self,
		events:  make(chan Event),
		stop:    make(chan struct{}),
		pending: map[Key]struct{}{},
		wake:    make(chan struct{}, 1),
	}
	var err error
	if m.links, err = rtnl.Listen(); err != nil {
		return nil, err
	}
	if m.files, err = newFileWatch(m.post, log); err != nil {
		m.links.Close()
		return nil, err
	}
	m.wg.Go(m.deliver)
	m.wg.Go(m.hear)
	m.wg.Go(m.files.run)
	return m, nil
}

// close ends what the monitor started and waits for it.
func (m *monitor) close() {
	close(m.stop)
	m.links.Close()
	m.files.close()
	m.wg.Wait()
}

// post says that something about the keys may have changed.
func (m *monitor) post(keys ...Key) {
	if len(keys) == 0 {
		return
	}
	m.mu.Lock()
	if len(m.pending)+len(keys) > maxPending {
		m.all = true
	}
	if m.all {
		clear(m.pending)
	} else {
		for _, k := range keys {
			m.pending[k] = struct{}{}
		}
	}
	m.mu.Unlock()
	m.signal()
}

// postAll says that anything may have changed.
func (m *monitor) postAll() {
	m.mu.Lock()
	m.all = true
	clear(m.pending)
	m.mu.Unlock()
	m.signal()
}

func (m *monitor) signal() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// deliver hands on what is pending, until stop.
func (m *monitor) deliver() {
	for {
		select {
		case <-m.stop:
			return
		case <-m.wake:
		}
		e := m.take()
		if !e.All && len(e.Keys) == 0 {
			continue // taken with the one before
		}
		select {
		case <-m.stop:
			return
		case m.events <- e:
		}
	}
}

func (m *monitor) take() Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := Event{All: m.all}
	m.all = false
	for k := range m.pending {
		e.Keys = append(e.Keys, k)
	}
	clear(m.pending)
	return e
}

// ownNumber returns the number by which our namespace knows itself, or was
// where that cannot be had.
func (m *monitor) ownNumber(was int) int {
	n, err := m.conn.OwnNumber(m.self.FD())
	if err != nil {
		m.log.Warn("the number of the own namespace is not known", "err", err)
		return was
	}
	return n
}

// hear posts what netlink tells, until the listener is closed.
func (m *monitor) hear() {
	own := m.ownNumber(rtnl.Here)
	var events []rtnl.Event
	var keys []Key
	for {
		var err error
		events, err = m.links.Receive(events[:0])
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case errors.Is(err, rtnl.ErrOverrun):
			m.postAll()
			continue
		case err != nil:
			m.log.Error("devices are not watched any more", "err", err)
			return
		}
		keys = keys[:0]
		for _, e := range events {
			here := e.Namespace == rtnl.Here || e.Namespace == own
			switch {
			case e.Kind == unix.RTM_NEWNSID:
				own = m.ownNumber(own)
			case e.Kind == unix.RTM_DELNSID && here:
				keys = append(keys, namespaceKey(e.Index))
			case e.Kind == unix.RTM_DELNSID:
			case here:
				keys = append(keys, linkKey(rtnl.Here, e.Index), deviceKey(e.Name))
			default:
				keys = append(keys, linkKey(e.Namespace, e.Index))
			}
		}
		m.post(keys...)
	}
}
