// Package client asks a running daemon over its Unix socket, in the types of
// package api.
//
// An answer that is an error comes back as an [*api.Error], whose code says
// what to do about it; so does the want of an answer (api.NoDaemon,
// api.Timeout). A Client may be used by several goroutines at once.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/ucred"
)

// DefaultSocket is where a daemon listens that was told nothing.
const DefaultSocket = "/run/vswitchd/vswitchd.sock"

// SocketVar is the environment variable that names another socket.
const SocketVar = "VSWITCH_SOCKET"

// DefaultTimeout bounds a request, from connecting to the end of the answer.
const DefaultTimeout = 10 * time.Second

// Config says which daemon to ask.
type Config struct {
	Socket  string        // path; empty: $VSWITCH_SOCKET, else DefaultSocket
	Timeout time.Duration // of each request; 0: DefaultTimeout
	// Patience is how long a daemon is waited for that does not listen yet,
	// at most half of Timeout: one that was started a moment ago. 0: it has to
	// be there.
	Patience time.Duration
}

// Client asks one daemon.
type Client struct {
	socket   string
	timeout  time.Duration
	patience time.Duration
	http     http.Client
}

// New returns a client. It connects when it is asked to do something.
func New(cfg Config) *Client {
	c := &Client{
		socket:  cmp.Or(cfg.Socket, os.Getenv(SocketVar), DefaultSocket),
		timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
	}
	c.patience = min(cfg.Patience, c.timeout/2)
	c.http.Transport = &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		DisableCompression: true,
		// One connection serves the requests that come one after another.
		// Proxies of the environment do not concern a Unix socket.
		MaxIdleConns:    2,
		IdleConnTimeout: 30 * time.Second,
	}
	return c
}

// dial connects to the daemon, which may be about to listen, or to take the
// place of one that was killed.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	const pause = 10 * time.Millisecond
	var d net.Dialer
	for deadline := time.Now().Add(c.patience); ; {
		conn, err := d.DialContext(ctx, "unix", c.socket)
		if err == nil {
			leaveTheDying(conn)
		}
		absent := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
		if !absent || time.Now().After(deadline) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// leaveTheDying closes a connection to a daemon that was killed: its socket takes
// connections until the kernel has taken it apart, and nobody answers them. It is
// asked for once an answer is late, so that it delays none.
func leaveTheDying(conn net.Conn) {
	const late = 100 * time.Millisecond
	pid := ucred.Of(conn).Pid
	time.AfterFunc(late, func() {
		if ucred.Dying(pid) {
			conn.Close()
		}
	})
}

// Listener returns the process whose socket it is, by the number that it has here; 0:
// it has none, as it is in a PID namespace that is not to be seen from here. It may be
// a service manager, which started the daemon.
func (c *Client) Listener(ctx context.Context) (pid int, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, c.noAnswer(ctx, err)
	}
	defer conn.Close()
	return int(ucred.Of(conn).Pid), nil
}

// Socket returns the path of the daemon's socket.
func (c *Client) Socket() string { return c.socket }

// Close gives back the connections that are kept. Requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call makes one request. in is sent as JSON unless nil, and the answer is
// read into out unless nil.
func (c *Client) call(ctx context.Context, method string, path route, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, in)
	for again := 0; again < 3 && isMoved(err); again++ {
		c.Close() // connections to the daemon that was
		resp, err = c.send(ctx, method, path, in)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.noAnswer(ctx, fmt.Errorf("read the answer to %s %s: %w", method, path.URL(), err))
	}
	return nil
}

// isMoved reports whether another daemon is to be asked, by the same socket.
func isMoved(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == api.Moved
}

// send makes one request and returns an answer that is no error. The caller
// closes its body.
func (c *Client) send(ctx context.Context, method string, path route, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, api.Errorf(api.Invalid, "put the request into JSON: %v", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, path.URL(), body)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "make the request: %v", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	hungUp := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	if errors.Is(err, net.ErrClosed) || hungUp && method == http.MethodGet { // by leaveTheDying: nobody has read it; or to look does no harm twice
		if req.GetBody != nil {
			req.Body, _ = req.GetBody()
		}
		resp, err = c.http.Do(req)
	}
	if err != nil {
		return nil, c.noAnswer(ctx, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var refusal api.ErrorBody
	const enough = 1 << 20
	err = json.NewDecoder(io.LimitReader(resp.Body, enough)).Decode(&refusal)
	if err != nil || refusal.Error == nil {
		return nil, api.Errorf(api.NoDaemon, "what answers at %s is no vswitchd: it says %s to %s", c.socket, resp.Status, path.URL())
	}
	return nil, refusal.Error
}

// noAnswer says why there is no answer, and what would work.
func (c *Client) noAnswer(ctx context.Context, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ctx.Err()
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return c.late()
	case errors.Is(err, fs.ErrNotExist):
		return api.Errorf(api.NoDaemon, "no daemon at %s: nothing is there; start one with vswitchd --socket %s, or name its socket with --socket or $%s", c.socket, c.socket, SocketVar)
	case errors.Is(err, syscall.ECONNREFUSED):
		return api.Errorf(api.NoDaemon, "no daemon answers at %s: start one with vswitchd --socket %s, or name its socket with --socket or $%s", c.socket, c.socket, SocketVar)
	case errors.Is(err, fs.ErrPermission):
		return api.Errorf(api.NoDaemon, "may not open %s: be root, or join the group that owns it", c.socket)
	}
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	return api.Errorf(api.NoDaemon, "no answer from the daemon at %s: %v", c.socket, err)
}

func (c *Client) late() error {
	return api.Errorf(api.Timeout, "no answer from the daemon at %s within %gs: ask with a longer --timeout, or look at its log", c.socket, c.timeout.Seconds())
}

// route is a path below /v1/ and the question mark's share. The host is not
// used, but HTTP wants one.
type route struct {
	elems []string
	query url.Values
}

func to(elems ...string) route { return route{elems: elems, query: url.Values{}} }

// with adds a parameter, unless its value is empty.
func (r route) with(key, value string) route {
	if value != "" {
		r.query.Set(key, value)
	}
	return r
}

// URL escapes every element, so that no name can become two of them.
func (r route) URL() string {
	u := "http://vswitchd/v1"
	for _, e := range r.elems {
		u += "/" + url.PathEscape(e)
	}
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	return u
}
