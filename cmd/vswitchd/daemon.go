package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/handover"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/store"

	vswitch "github.com/vswitch/vswitch/switch"
)

// firstSwitch is the switch that stands where nobody has configured any.
const firstSwitch = "sw0"

// movedTime is how long those who have connected just before another daemon took over
// are told so.
const movedTime = 100 * time.Millisecond

// closeTime is what closing may take: out in two seconds, whatever hangs.
const closeTime = 1500 * time.Millisecond

func defaultSocket() string {
	if path := os.Getenv("VSWITCH_SOCKET"); path != "" {
		return path
	}
	return standardSocket
}

// Where things are unless a flag says otherwise.
const (
	standardSocket  = "/run/vswitchd/vswitchd.sock"
	defaultStateDir = "/var/lib/vswitchd"
)

// serve runs the switch until ctx ends, or the program that is installed by then has
// taken over, which is started whenever reload says so.
func serve(ctx context.Context, reload <-chan struct{}, o options, log *slog.Logger) error {
	if err := control.CheckPath(o.socket); err != nil {
		return err
	}
	if o.takeover {
		from, err := findPredecessor(ctx, o.socket)
		if err != nil {
			return orRights(err)
		}
		if from != nil {
			return serveAfter(ctx, reload, from, o, log)
		}
		log.Info("no vswitchd runs to take over from: starting as ever", "socket", o.socket)
	}
	deposited, sockets := sorted(handover.Deposited())
	listener, activated, err := listen(sockets, o)
	if err != nil {
		return orRights(err)
	}
	host, err := openHost(o.socket, log)
	if err != nil {
		return errors.Join(orRights(err), listener.Close())
	}
	defer host.Close()
	if o.removePorts {
		return errors.Join(removeLeft(ctx, host, log), listener.Close())
	}
	left := findDeposit(deposited, log)
	engine, err := newEngine(host, o, left.uptime(), log)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if left != nil {
		engine.Expect(left.Estate, false)
	}
	kept, err := openStore(o, log)
	if err != nil {
		return errors.Join(err, engine.Close(ctx), listener.Close())
	}
	d, err := newRunning(engine, kept, o, log)
	if err != nil {
		return errors.Join(err, engine.Leave(), listener.Close(), closeStore(kept))
	}
	d.listener, d.activated = listener, activated
	if err := restore(ctx, d.server, o); err != nil && ctx.Err() == nil { // who ends it meanwhile has it end as always
		return errors.Join(err, engine.Leave(), listener.Close(), closeStore(kept))
	}
	if left != nil {
		engine.Remember(left.Estate)
		if err := engine.TakeOver(left.Estate, left.Rest, left.fds, nil); err != nil {
			log.Error("not all ports go on with the descriptors that were kept", "error", err)
		}
	}
	return d.serve(ctx, reload)
}

// listen makes the control socket, or takes that at which the service manager listens,
// if it gave the daemon one.
func listen(sockets []int, o options) (l *control.Listener, activated bool, err error) {
	group := o.usersGroup()
	switch len(sockets) {
	case 0:
		l, err = control.Listen(o.socket, group)
		return l, false, err
	case 1:
		l, err = control.Activated(sockets[0], o.socket, group)
		return l, true, err
	}
	return nil, false, fmt.Errorf("the service manager listens at %d sockets for vswitchd, which has one: leave one ListenStream= in its .socket unit", len(sockets))
}

// serveAfter runs the switch in the place of another daemon.
func serveAfter(ctx context.Context, reload <-chan struct{}, from *predecessor, o options, log *slog.Logger) error {
	host, err := openHost(o.socket, log)
	if err != nil {
		return orRights(err)
	}
	defer host.Close()
	engine, err := newEngine(host, o, from.will.Estate.Uptime, log)
	if err != nil {
		return err
	}
	d, err := newRunning(engine, nil, o, log)
	if err != nil {
		return errors.Join(err, engine.Leave())
	}
	if o.config != "" {
		log.Info("the configuration is that of the vswitchd that runs, and not the file's: vsctl config apply puts that in force", "file", o.config)
	}
	begin := time.Now()
	d.listener, err = control.Adopt(from.socket, o.socket, o.usersGroup())
	if err == nil {
		err = from.succeed(ctx, engine, d.server)
	}
	if err == nil {
		err = from.release(engine, d.reopenStore)
	}
	if d.activated = from.will.Activated; err == nil && !d.activated {
		err = d.listener.Claim()
	}
	if err != nil {
		err = fmt.Errorf("take over from the vswitchd at %s: %w", o.socket, err)
		if d.listener != nil {
			err = errors.Join(err, d.listener.Close())
		}
		return errors.Join(err, engine.Leave(), d.dropStore())
	}
	// Where it is told as before, it may have been changed by hand; where nothing is told
	// about a socket of the service manager, that has said who may use it.
	if group := o.usersGroup(); group != from.will.Group && (group != "" || !d.activated) {
		if err := d.listener.LetIn(); err != nil {
			log.Error("the control socket lets in who the other vswitchd was told to", "error", err)
		}
	}
	log.Info("took over from another vswitchd", "version", from.will.Version, "ports", len(from.will.Estate.Ports), "took", time.Since(begin).Round(time.Millisecond))
	return d.serve(ctx, reload)
}

func newEngine(host *port.Host, o options, uptime time.Duration, log *slog.Logger) (*vswitch.Engine, error) {
	// Workers keep a processor each while they are busy. The rest of the
	// daemon has its own beside them, so that the socket answers during a
	// storm.
	workers := o.workers
	if workers == 0 {
		workers = vswitch.DefaultWorkers()
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + workers)
	return vswitch.NewEngine(vswitch.Config{
		Host: vswitch.Machine(host), Log: log, Workers: workers, Uptime: uptime,
		Rings: cmp.Or(o.rings, -1), RingRate: o.ringRate,
		Spin: cmp.Or(o.spin, -1), NoURing: !o.uring,
	})
}

// running is a daemon at work.
type running struct {
	engine   *vswitch.Engine
	server   *control.Server
	listener *control.Listener
	options  options
	log      *slog.Logger

	mu      sync.Mutex   // guards what follows
	kept    *store.Store // nil: none
	waiting bool         // for its folder, which another process has

	activated bool // the socket is the service manager's

	asked chan bool     // somebody asks for the end; with the removal of all devices
	gone  chan struct{} // closed when another daemon has taken over
	ended chan struct{} // closed when it ends
}

func newRunning(engine *vswitch.Engine, kept *store.Store, o options, log *slog.Logger) (*running, error) {
	admin, err := control.FindGroup(o.adminGroup)
	if err != nil {
		return nil, err
	}
	d := &running{engine: engine, kept: kept, options: o, log: log, asked: make(chan bool, 1), gone: make(chan struct{}), ended: make(chan struct{})}
	shutdown := func(remove bool) {
		select {
		case d.asked <- remove:
		default: // it is ending
		}
	}
	d.server = control.New(engine, control.Config{
		Version: version, PID: os.Getpid(), Log: log, Store: kept, AdminGroup: admin, Shutdown: shutdown, Takeover: d.handOver,
	})
	return d, nil
}

// removeLeft removes what an earlier daemon has left.
func removeLeft(ctx context.Context, host *port.Host, log *slog.Logger) error {
	n, err := host.Inherit(ctx, func(port.Identity) bool { return false })
	if err != nil {
		return fmt.Errorf("remove what an earlier vswitchd left: %w", err)
	}
	log.Info("removed what an earlier vswitchd left", "devices", n)
	return nil
}

// openStore opens what keeps the configuration; nil: nothing does, as it is that of
// a file which people keep themselves.
func openStore(o options, log *slog.Logger) (*store.Store, error) {
	if o.config != "" {
		return nil, nil
	}
	dir := o.stateDir
	if dir == "" {
		dir = defaultStateDir
		if o.socket != standardSocket { // another daemon beside the usual one
			instance, err := instanceOf(o.socket)
			if err != nil {
				return nil, err
			}
			dir = filepath.Join(dir, instance)
		}
	}
	kept, err := store.Open(dir, func(what string) { log.Error(what) })
	if err != nil {
		return nil, fmt.Errorf("the configuration cannot be kept: %w: name another folder with --state-dir, or start with --config FILE, which keeps nothing", err)
	}
	return kept, nil
}

func closeStore(s *store.Store) error {
	if s == nil {
		return nil
	}
	return s.Close()
}

// restore makes the configuration stand that is kept, or that of a file.
func restore(ctx context.Context, server *control.Server, o options) error {
	if o.config == "" {
		return server.Restore(ctx, firstSwitch)
	}
	text, err := readConfig(ctx, o.config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	return server.RestoreFile(ctx, o.config, text)
}

// readConfig reads a file, or a pipe, whose writer may take its time.
func readConfig(ctx context.Context, path string) ([]byte, error) {
	const most = 16 << 20 // octets, as of what vsctl config apply sends
	var text []byte
	var err error
	read := make(chan struct{})
	go func() { // until there is no more, or the process ends
		defer close(read)
		var f *os.File
		if f, err = os.Open(path); err == nil {
			defer f.Close()
			text, err = io.ReadAll(io.LimitReader(f, most+1))
		}
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-read:
	}
	if err == nil && len(text) > most {
		err = fmt.Errorf("%s has over %d MiB: a configuration has less", path, most>>20)
	}
	return text, err
}

// orRights says what would work where something is not permitted.
func orRights(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: run vswitchd as root, or with the capabilities that vsctl doctor asks for", err)
}

// openHost makes the ports' view of the machine.
func openHost(socket string, log *slog.Logger) (*port.Host, error) {
	instance, err := instanceOf(socket)
	if err != nil {
		return nil, err
	}
	return port.NewHost(port.HostConfig{Instance: instance, Log: log})
}

// instanceOf names the daemon by its socket, in a form that fits into marks on
// devices.
func instanceOf(socket string) (string, error) {
	path, err := filepath.Abs(socket)
	if err != nil {
		return "", fmt.Errorf("socket path %q: %w", socket, err)
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:6]), nil
}

// serve answers requests until ctx ends, somebody asks for the end, or another daemon
// has taken over.
func (d *running) serve(ctx context.Context, reload <-chan struct{}) error {
	served := make(chan error, 1)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	go func() { // until serving ends
		served <- d.server.Serve(serving, d.listener)
	}()
	d.log.Info("vswitchd is ready", "socket", d.options.socket, "version", version)
	if _, err := daemon.SdNotify(false, fmt.Sprintf("%s\nMAINPID=%d", daemon.SdNotifyReady, os.Getpid())); err != nil {
		d.log.Warn("tell systemd that we are ready", "error", err)
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	go d.feedWatchdog(watching) // until serve returns

	leave := d.options.keepPorts
	for {
		select {
		case <-reload:
			startSuccessor(d.log)
			continue
		case <-d.gone:
			time.Sleep(movedTime)
			stopServing()
			return <-served
		case <-ctx.Done():
			return d.end(ctx, leave, nil, stopServing, served)
		case remove := <-d.asked:
			return d.end(ctx, leave && !remove, nil, stopServing, served)
		case err := <-served:
			served <- nil
			return d.end(ctx, leave, fmt.Errorf("serve the control socket: %w", err), stopServing, served)
		}
	}
}

// feedWatchdog tells the service manager that frames move, as often as it wants to
// hear it: where a worker does not come to the end of its work, it hears nothing, and
// starts the daemon anew, which takes over the ports.
func (d *running) feedWatchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.engine.Quiesce()
		_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog) // the next time, then
	}
}

// end ends the daemon, and leaves its devices or removes them.
func (d *running) end(ctx context.Context, leave bool, err error, stopServing func(), served <-chan error) error {
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	close(d.ended)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	// The socket stays until all is gone: another daemon that starts
	// meanwhile must not take what is being removed for leftovers.
	if leave {
		d.log.Info("ending: devices stay as they are")
		err = errors.Join(err, d.leave())
	} else {
		d.log.Info("ending: removing what was made")
		err = errors.Join(err, d.engine.Close(closing))
	}
	stopServing()
	return errors.Join(err, <-served, d.dropStore())
}
