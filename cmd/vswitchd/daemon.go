package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/port"
	"github.com/vswitch/vswitch/store"

	vswitch "github.com/vswitch/vswitch/switch"
)

// firstSwitch is the switch that stands where nobody has configured any.
const firstSwitch = "sw0"

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

// serve runs the switch until ctx ends.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	listener, err := control.Listen(o.socket, o.socketGroup)
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

	// Workers keep a processor each while they are busy. The rest of the
	// daemon has its own beside them, so that the socket answers during a
	// storm.
	workers := o.workers
	if workers == 0 {
		workers = vswitch.DefaultWorkers()
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + workers)

	engine, err := vswitch.NewEngine(vswitch.Config{
		Host: vswitch.Machine(host), Log: log, Workers: workers,
		Rings: cmp.Or(o.rings, -1), RingRate: o.ringRate,
		Spin: cmp.Or(o.spin, -1), NoURing: !o.uring,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	kept, err := openStore(o, log)
	if err != nil {
		return errors.Join(err, engine.Close(ctx), listener.Close())
	}
	asked := make(chan bool, 1) // for the end; with the removal of all devices
	shutdown := func(remove bool) {
		select {
		case asked <- remove:
		default: // it is ending
		}
	}
	server := control.New(engine, control.Config{Version: version, Log: log, Store: kept, Shutdown: shutdown})
	if err := restore(ctx, server, o); err != nil && ctx.Err() == nil { // who ends it meanwhile has it end as always
		return errors.Join(err, engine.Leave(), listener.Close(), closeStore(kept))
	}
	return errors.Join(serveUntil(ctx, server, engine, listener, asked, o, log), closeStore(kept))
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
	text, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	return server.RestoreFile(ctx, o.config, text)
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

func serveUntil(ctx context.Context, server *control.Server, engine *vswitch.Engine, l net.Listener, asked <-chan bool, o options, log *slog.Logger) error {
	served := make(chan error, 1)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	go func() { // until serving ends
		served <- server.Serve(serving, l)
	}()
	log.Info("vswitchd is ready", "socket", o.socket, "version", version)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell systemd that we are ready", "error", err)
	}

	var err error
	leave := o.keepPorts
	select {
	case <-ctx.Done():
	case remove := <-asked:
		leave = leave && !remove
	case err = <-served:
		served <- nil
		err = fmt.Errorf("serve the control socket: %w", err)
	}
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	// The socket stays until all is gone: another daemon that starts
	// meanwhile must not take what is being removed for leftovers.
	if leave {
		log.Info("ending: devices stay as they are")
		err = errors.Join(err, engine.Leave())
	} else {
		log.Info("ending: removing what was made")
		err = errors.Join(err, engine.Close(closing))
	}
	stopServing()
	return errors.Join(err, <-served)
}
