package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/handover"
	"github.com/vswitch/vswitch/store"

	vswitch "github.com/vswitch/vswitch/switch"
)

// A daemon that takes over from one that runs asks by its socket. What follows are
// messages of package handover, one from each in turn:
//
//	old                              new
//	testament, the socket            ready: all stands, and no frame moved
//	keep: the store is yours         kept
//	rest, the ports' descriptors     done: frames move from now on
//
// The old one goes on with frames until the rest, and whatever fails before "done"
// has it go on for good.

// testament is the first message.
type testament struct {
	Version   string // of the program that hands over
	Document  json.RawMessage
	Estate    vswitch.Estate
	Activated bool   // the socket is the service manager's
	Group     string // that was told to use it
}

// The words between the two.
const (
	wordReady = "ready"
	wordKeep  = "keep"
	wordKept  = "kept"
	wordDone  = "done"
)

// handoverTime is what all of it may take, or the old daemon goes on.
const handoverTime = 20 * time.Second

// stillTime is how long frames may stand, with so many ports, until the new daemon has
// said that they move: else the old one has them move again.
func stillTime(ports int) time.Duration {
	return 900*time.Millisecond + time.Duration(ports)*time.Millisecond
}

// handOver hands over to who is at the other end.
func (d *running) handOver(by *net.UnixConn, document []byte) (err error) {
	if err := by.SetDeadline(time.Now().Add(handoverTime)); err != nil {
		return err
	}
	est, err := d.engine.BeginHandover(context.Background())
	if err != nil {
		return err
	}
	released := false // the folder of the configuration
	defer func() {
		if err == nil {
			return
		}
		d.engine.Resume() // first: the other one may still have the folder
		err = errors.Join(err, d.listener.Resume())
		if released {
			err = errors.Join(err, d.haveStoreAgain())
		}
		d.engine.Abort()
	}()
	text, err := json.Marshal(testament{version, document, est, d.activated, d.options.usersGroup()})
	if err != nil {
		return err
	}
	if err := d.sendSocket(by, text); err != nil {
		return err
	}
	if err := expect(by, wordReady); err != nil {
		return err
	}
	released = true
	if err := d.dropStore(); err != nil {
		d.log.Warn("the folder of the configuration is not closed well", "error", err)
	}
	if err := handover.Send(by, []byte(wordKeep), nil); err != nil {
		return err
	}
	if err := expect(by, wordKept); err != nil {
		return err
	}
	if err := d.listener.Pause(); err != nil {
		return err
	}
	return d.sendRest(by)
}

// sendRest ends the work on frames and hands over what is left.
func (d *running) sendRest(by *net.UnixConn) error {
	rest, fds := d.engine.Stop()
	text, err := json.Marshal(rest)
	if err == nil {
		err = by.SetDeadline(time.Now().Add(stillTime(len(fds))))
	}
	if err == nil {
		err = handover.Send(by, text, fds)
	}
	if err == nil {
		err = expect(by, wordDone)
	}
	if err != nil {
		return err
	}
	d.log.Info("another vswitchd has taken over")
	// The service manager hears the main process alone, which is now the other one.
	if cred, err := peerOf(by); err == nil {
		_, _ = daemon.SdNotify(false, fmt.Sprintf("MAINPID=%d", cred.Pid)) // it may hear nobody
	}
	// At once, and not by who waits for d.gone: somebody may be about to end us, and
	// must not take away what is the other one's.
	d.server.Moved()
	d.listener.Leave()
	if err := d.engine.HandedOver(); err != nil {
		d.log.Warn("not all was let go", "error", err)
	}
	close(d.gone)
	return nil
}

// peerOf returns who is at the other end.
func peerOf(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var got error
	err = raw.Control(func(fd uintptr) { cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(err, got)
}

func (d *running) sendSocket(by *net.UnixConn, text []byte) error {
	raw, err := d.listener.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = handover.Send(by, text, []int{int(fd)}) })
	return errors.Join(err, sent)
}

func (d *running) reopenStore() error {
	kept, err := openStore(d.options, d.log)
	if err != nil {
		return err
	}
	return d.useStore(kept)
}

// useStore has the configuration be kept in a folder that is open.
func (d *running) useStore(kept *store.Store) error {
	d.mu.Lock()
	d.kept = kept
	d.mu.Unlock()
	if err := d.server.Keep(kept); err != nil {
		return errors.Join(fmt.Errorf("the configuration cannot be kept: %w", err), d.dropStore())
	}
	return nil
}

// dropStore lets go of the folder of the configuration.
func (d *running) dropStore() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := d.kept
	d.kept = nil
	return closeStore(kept)
}

// storeAgain is how often it is tried to have the folder of the configuration again.
const storeAgain = time.Second

// haveStoreAgain takes the folder of the configuration back from a daemon that was to
// take over. One that hangs may still have it: changes are refused until that ends.
func (d *running) haveStoreAgain() error {
	err := d.reopenStore()
	if err == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.waiting {
		d.waiting = true
		go d.awaitStore() // until it has the folder, or the daemon ends
	}
	return err
}

// awaitStore waits for the folder of the configuration, while changes are refused, and
// nobody waits with it.
func (d *running) awaitStore() {
	for had := false; !had; {
		select {
		case <-d.ended:
			return
		case <-d.gone:
			return
		case <-time.After(storeAgain):
		}
		kept, err := openStore(d.options, d.log)
		if err != nil {
			continue
		}
		d.server.Alone(func() { had = d.useStore(kept) == nil })
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = false
	d.log.Info("the configuration is kept again")
}

// expect receives a word.
func expect(by *net.UnixConn, word string) error {
	got, fds, err := handover.Receive(by)
	handover.Close(fds)
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("it has gone")
	case err != nil:
		return err
	case string(got) != word:
		return fmt.Errorf("it says %q, where %q was due", got, word)
	}
	return nil
}

// predecessor is a daemon whose place this one takes.
type predecessor struct {
	conn   *net.UnixConn
	will   testament
	socket int // the control socket's descriptor
}

// findPredecessor asks the daemon that runs at the socket to hand over; nil: none
// runs. One that is handing over to another, or is ending, hangs up.
func findPredecessor(ctx context.Context, path string) (p *predecessor, err error) {
	const times, pause = 3, 100 * time.Millisecond
	for range times {
		p, err = askPredecessor(ctx, path)
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		time.Sleep(pause)
	}
	return p, err
}

func askPredecessor(ctx context.Context, path string) (_ *predecessor, err error) {
	c, err := net.DialTimeout("unix", path, time.Second)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take over: %w", err)
	}
	conn := c.(*net.UnixConn)
	// It may hang, and we are to end.
	forget := context.AfterFunc(ctx, func() { conn.Close() })
	defer func() {
		if err == nil && !forget() {
			err = ctx.Err()
		}
		if err != nil {
			conn.Close()
			err = fmt.Errorf("take over from the vswitchd at %s: %w", path, err)
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(handoverTime)); err != nil {
		return nil, err
	}
	if err := askForPlace(conn); err != nil {
		return nil, err
	}
	text, fds, err := handover.Receive(conn)
	if err != nil {
		return nil, err
	}
	p := &predecessor{conn: conn}
	if err = json.Unmarshal(text, &p.will); err == nil && len(fds) != 1 {
		err = fmt.Errorf("%d descriptors, where that of the socket was due", len(fds))
	}
	if err != nil {
		handover.Close(fds)
		return nil, err
	}
	p.socket = fds[0]
	return p, nil
}

// askForPlace asks, and reads the answer's header, and nothing behind it.
func askForPlace(conn *net.UnixConn) error {
	request, err := http.NewRequest(http.MethodPost, "http://vswitchd/v1/takeover", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", control.TakeoverProtocol)
	if err := request.Write(conn); err != nil {
		return err
	}
	var header strings.Builder
	for one := make([]byte, 1); !strings.HasSuffix(header.String(), "\r\n\r\n"); header.Write(one) {
		if _, err := io.ReadFull(conn, one); err != nil {
			return err
		}
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.MultiReader(strings.NewReader(header.String()), conn)), request)
	if err != nil {
		return err
	}
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return err
	}
	return fmt.Errorf("it refuses: %s", strings.TrimSpace(string(body)))
}

// succeed makes all stand in an engine that is new. No frame moves yet.
func (p *predecessor) succeed(ctx context.Context, engine *vswitch.Engine, server *control.Server) error {
	engine.Expect(p.will.Estate, true)
	if err := server.Succeed(ctx, p.will.Document); err != nil {
		return err
	}
	if err := engine.Complete(p.will.Estate); err != nil {
		return err
	}
	engine.Remember(p.will.Estate)
	return handover.Send(p.conn, []byte(wordReady), nil)
}

// release receives the ports, and has frames move. keep is called when the folder of
// the configuration is free.
func (p *predecessor) release(engine *vswitch.Engine, keep func() error) error {
	if err := expect(p.conn, wordKeep); err != nil {
		return err
	}
	if err := keep(); err != nil {
		return err
	}
	if err := handover.Send(p.conn, []byte(wordKept), nil); err != nil {
		return err
	}
	text, fds, err := handover.Receive(p.conn)
	if err != nil {
		return err
	}
	var rest vswitch.Rest
	if err := json.Unmarshal(text, &rest); err != nil {
		handover.Close(fds)
		return err
	}
	done := func() error { return handover.Send(p.conn, []byte(wordDone), nil) }
	if err := engine.TakeOver(p.will.Estate, rest, fds, done); err != nil {
		return err
	}
	return p.conn.Close()
}

// startSuccessor starts the program that is installed now, to take over from this
// one. It logs how that ended, if it does not.
func startSuccessor(log *slog.Logger) {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		log.Error("no other vswitchd can be started to take over", "error", err)
		return
	}
	args := slices.Clone(os.Args[1:])
	if !slices.Contains(args, "--takeover") { // it has taken over itself
		args = append(args, "--takeover")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// The watchdog will be fed by another process.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "WATCHDOG_PID=") })
	if err := cmd.Start(); err != nil {
		log.Error("no other vswitchd can be started to take over", "error", err)
		return
	}
	log.Info("started another vswitchd to take over", "pid", cmd.Process.Pid)
	go func() { // until it ends, or this process does
		if err := cmd.Wait(); err != nil {
			log.Error("the vswitchd that was to take over has ended", "error", err)
		}
	}()
}
