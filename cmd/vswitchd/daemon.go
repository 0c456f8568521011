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
	return "/run/vswitchd/vswitchd.sock"
}

// serve runs the switch until ctx ends.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	listener, err := control.Listen(o.socket, o.socketGroup)
	if err != nil {
		return orRights(err)
	}
	host, err := openHost(ctx, o.socket, log)
	if err != nil {
		return errors.Join(orRights(err), listener.Close())
	}
	defer host.Close()

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
	if err := engine.AddSwitch(ctx, firstSwitch, vswitch.DefaultSettings()); err != nil {
		return errors.Join(err, engine.Close(ctx), listener.Close())
	}
	return serveUntil(ctx, engine, listener, o, log)
}

// orRights says what would work where something is not permitted.
func orRights(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: run vswitchd as root, or with the capabilities that vsctl doctor asks for", err)
}

// openHost makes the ports' view of the machine, and removes what a daemon of
// this instance left behind when it was killed.
func openHost(ctx context.Context, socket string, log *slog.Logger) (*port.Host, error) {
	instance, err := instanceOf(socket)
	if err != nil {
		return nil, err
	}
	host, err := port.NewHost(port.HostConfig{Instance: instance, Log: log})
	if err != nil {
		return nil, err
	}
	removed, err := host.Sweep(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("remove what an earlier vswitchd left: %w", err), host.Close())
	}
	if removed > 0 {
		log.Info("removed what an earlier vswitchd left", "devices", removed)
	}
	return host, nil
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

func serveUntil(ctx context.Context, engine *vswitch.Engine, l net.Listener, o options, log *slog.Logger) error {
	served := make(chan error, 1)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	go func() { // until serving ends
		served <- control.New(engine, control.Config{Version: version, Log: log}).Serve(serving, l)
	}()
	log.Info("vswitchd is ready", "socket", o.socket, "version", version)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("tell systemd that we are ready", "error", err)
	}

	var err error
	select {
	case <-ctx.Done():
		log.Info("ending: removing what was made")
	case err = <-served:
		served <- nil
		err = fmt.Errorf("serve the control socket: %w", err)
	}
	daemon.SdNotify(false, daemon.SdNotifyStopping)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	// The socket stays until all is gone: another daemon that starts
	// meanwhile must not take what is being removed for leftovers.
	err = errors.Join(err, engine.Close(closing))
	stopServing()
	return errors.Join(err, <-served)
}
