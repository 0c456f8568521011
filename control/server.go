package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/fdb"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/store"
	"github.com/vswitch/vswitch/vlan"

	vswitch "github.com/vswitch/vswitch/switch"
)

// Engine is what the API is served from: a *vswitch.Engine. Its errors are
// *vswitch.Error, and every method may be called at any time.
type Engine interface {
	AddSwitch(ctx context.Context, name string, s vswitch.Settings) error
	SetSwitch(ctx context.Context, name string, change func(*vswitch.Settings) error) error
	DeleteSwitch(ctx context.Context, name string) error
	Switches() []vswitch.SwitchInfo // sorted
	Switch(name string) (vswitch.SwitchInfo, error)

	AddProfile(ctx context.Context, p vswitch.Profile) error
	SetProfile(ctx context.Context, name string, change func(*vswitch.Profile) error) error
	DeleteProfile(ctx context.Context, name string) error
	Profiles() []vswitch.Profile // sorted
	Profile(name string) (vswitch.Profile, error)

	AddPort(ctx context.Context, cfg vswitch.PortConfig) (vswitch.PortInfo, error)
	SetPort(ctx context.Context, sw, name string, raise bool, change func(*vswitch.PortConfig) error) (vswitch.PortInfo, error)
	DeletePort(ctx context.Context, sw, name string) error
	DeletePorts(ctx context.Context, ports []port.PeerName) error // at once
	Missing(cfg port.Config) error                                // what it would hang on, as far as can be told
	Port(sw, name string) (vswitch.PortInfo, error)
	Ports(sw string) ([]vswitch.PortInfo, error) // sorted; of all switches with ""
	Loops(sw string) []vswitch.Loop              // sorted

	AwaitPort(ctx context.Context, cfg vswitch.PortConfig) (why error, err error)
	RestorePort(ctx context.Context, cfg vswitch.PortConfig) (why error, err error)
	Inherit(ctx context.Context, stays func(sw, name string) bool) error
	Disinherit() error

	Entry(sw string, v vlan.ID, m frame.MAC) (vswitch.FDBEntry, error)
	FDB(sw string) ([]vswitch.FDBEntry, error) // sorted
	AddFDB(ctx context.Context, sw string, v vlan.ID, m frame.MAC, port string) error
	DeleteFDB(ctx context.Context, sw string, v vlan.ID, m frame.MAC) error
	FlushFDB(ctx context.Context, sw string, port string, v vlan.ID) (int, error)
	FDBStats(sw string) (fdb.Stats, error)

	Events(ctx context.Context) <-chan vswitch.Event
}

// Config is what a Server is told beside its engine.
type Config struct {
	Version string       // that GET /v1/version answers with
	PID     int          // likewise; 0: it is left out
	Log     *slog.Logger // of changes, and of who asked for them; nil: nowhere
	Store   *store.Store // that keeps the configuration; nil: it is kept nowhere

	// AdminGroup is the group whose members may change things, beside root and the
	// daemon's own user; whoever else may open the socket may look. "": none.
	AdminGroup Group

	// Shutdown is called when somebody asks for the end of the daemon, and with
	// remove, for that of all its devices; nil: that is refused.
	Shutdown func(remove bool)

	// Takeover hands the daemon over to who asks for it by a connection; document
	// is the configuration. While it runs nothing is changed. An error has the
	// daemon go on as before; nil: it is over. Without one, that is refused.
	Takeover func(by *net.UnixConn, document []byte) error
}

// How long a client may take for each step of a request, and the daemon for
// the work. The work is bounded by its deadline alone where it waits for the
// system: a container's engine may take some seconds.
const (
	headerTime = 5 * time.Second  // from the first byte to the end of the header
	bodyTime   = 10 * time.Second // from the first byte to the end of the body
	workTime   = time.Minute      // for a change to be in force
	answerTime = 30 * time.Second // to read the whole answer
	eventTime  = 5 * time.Second  // to read one event
	idleTime   = time.Minute      // between two requests

	// graceTime is what requests under way get when the server ends, and
	// then once more what they get to notice that they were cancelled.
	graceTime = 400 * time.Millisecond
)

// Bounds of a request.
const (
	maxHeader = 16 << 10
	maxBody   = 1 << 20
	maxConfig = 8 << 20 // a document, of up to half that, in JSON
)

// Server answers requests.
type Server struct {
	engine Engine
	cfg    Config
	gate   queue // see gate

	comparing queue // of those who compare a document, which may take seconds

	// configuring is held by who changes the configuration as a whole; who
	// changes one thing of it shares it.
	configuring sync.RWMutex

	keeper *keeper // nil: nothing is kept

	moved atomic.Bool // another daemon goes on
}

// New returns a server of the engine.
func New(engine Engine, cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{engine: engine, cfg: cfg, gate: newGate(), comparing: newQueue(1)}
	if cfg.Store != nil {
		s.keeper = &keeper{store: cfg.Store}
	}
	return s
}

// Keep has the configuration kept in another store from now on, as it stands, whatever
// that store had. Nobody changes anything meanwhile.
func (s *Server) Keep(st *store.Store) error {
	s.keeper = nil
	if st == nil {
		return nil
	}
	s.keeper = &keeper{store: st}
	changes, err := thingAll{}.changes(s)
	if err != nil || reflect.DeepEqual(changes[0].Value, st.Document()) {
		return err
	}
	s.keeper.owes = true
	return s.keep(thingAll{})
}

// Serve answers requests on l until ctx ends or accepting fails for good.
// Requests under way are given a moment to end; streams end at once. It closes
// l, and returns within a second of ctx's end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	work, cancelWork := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelWork()
	streams, endStreams := context.WithCancel(work)
	defer endStreams()

	var underWay requests
	routes := s.routes(streams)
	door := newDoor(l)
	door.admin = s.cfg.AdminGroup
	hs := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			underWay.begin()
			defer underWay.end()
			routes.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       bodyTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return work },
		ConnContext:       withConn,
		// What goes wrong on a connection is the client's affair.
		ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(door) }() // until Shutdown or Close
	select {
	case err := <-failed:
		cancelWork()
		hs.Close()
		return err
	case <-ctx.Done():
	}

	endStreams()
	door.closeQuiet()
	grace, cancelGrace := context.WithTimeout(work, graceTime)
	defer cancelGrace()
	if err := hs.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.cfg.Log.Warn("close the control socket", "error", err)
	}
	cancelWork()
	hs.Close()
	<-failed
	select {
	case <-underWay.idle():
	case <-time.After(graceTime):
		s.cfg.Log.Warn("requests are still under way")
	}
	return nil
}

// requests counts those that are being answered.
type requests struct {
	mu     sync.Mutex
	n      int
	waiter chan struct{} // closed when there is none; nil while nobody asks
}

func (u *requests) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
}

func (u *requests) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n--
	u.tellLocked()
}

// idle returns a channel that is closed once no request is being answered. It
// is asked for once.
func (u *requests) idle() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	ch := make(chan struct{})
	u.waiter = ch
	u.tellLocked()
	return ch
}

func (u *requests) tellLocked() {
	if u.n == 0 && u.waiter != nil {
		close(u.waiter)
		u.waiter = nil
	}
}
