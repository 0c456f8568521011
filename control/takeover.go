package control

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/vswitch/vswitch/api"

	vswitch "github.com/vswitch/vswitch/switch"
)

// takeoverPath is where another daemon asks for this one's place.
const takeoverPath = "/v1/takeover"

// TakeoverProtocol is what a connection is upgraded to for it.
const TakeoverProtocol = "vswitch-takeover/1"

// takeover hands over to who asks for it, over the connection that it asked by.
func (s *Server) takeover(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	by, hangUp, err := s.upgrade(w, r, c)
	if err != nil {
		s.send(w, r, refusal(err))
		return
	}
	defer hangUp()
	// Nobody changes anything until it is done, or given up.
	s.configuring.Lock()
	defer s.configuring.Unlock()
	log := s.cfg.Log.With("uid", c.cred.Uid, "pid", c.cred.Pid)
	if s.moved.Load() {
		return // the other one finds a daemon that hangs up
	}
	text, err := s.Document()
	if err == nil {
		err = s.cfg.Takeover(by, text)
	}
	if err != nil {
		log.Error("not handed over to another vswitchd: this one goes on", "error", err)
	}
}

// upgrade makes a request's connection the caller's, until it hangs up, if who asks
// may have it.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, c *conn) (by *net.UnixConn, hangUp func(), err error) {
	switch uid := int(c.cred.Uid); {
	case r.Method != http.MethodPost:
		return nil, nil, api.Errorf(api.NotAllowed, "%s does not fit %s: use POST", r.Method, r.URL.Path)
	case uid != 0 && uid != os.Geteuid():
		s.cfg.Log.Info("forbidden", "method", r.Method, "path", r.URL.Path, "uid", uid, "pid", c.cred.Pid)
		return nil, nil, api.Errorf(api.Forbidden, "only root and the daemon's own user may take its place")
	case os.Getpid() == 1 && c.cred.Pid != 0:
		return nil, nil, api.Errorf(api.Refused, "this daemon is the first process of a container, which ends with it, and the one that takes over as well: have the container start an init first (podman run --init), or take over from outside of it")
	case s.cfg.Takeover == nil:
		return nil, nil, api.Errorf(api.Refused, "this daemon is a part of another program, and hands over to nobody")
	case r.Header.Get("Upgrade") != TakeoverProtocol:
		return nil, nil, api.Errorf(api.Invalid, "a daemon that takes over asks for an upgrade to %s", TakeoverProtocol)
	}
	whole, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, api.Errorf(api.Failed, "%v", err)
	}
	hangUp = func() { whole.Close() }
	inner := whole
	if own, ok := whole.(*conn); ok {
		inner = own.Conn
	}
	by, ok := inner.(*net.UnixConn)
	if !ok {
		hangUp()
		return nil, nil, api.Errorf(api.Failed, "the connection is by no Unix socket")
	}
	err = by.SetDeadline(time.Time{})
	if err == nil {
		_, err = io.WriteString(by, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+TakeoverProtocol+"\r\n\r\n")
	}
	if err != nil {
		hangUp()
	}
	return by, hangUp, err
}

// Document returns the configuration that stands, as JSON.
func (s *Server) Document() ([]byte, error) {
	m, err := s.standing()
	if err != nil {
		return nil, err
	}
	return m.tree().JSON(), nil
}

// Succeed makes the configuration stand that another daemon has handed over, in an
// engine that expects its ports. It is called before Serve.
func (s *Server) Succeed(ctx context.Context, text []byte) error {
	want, err := s.kept("the configuration that was handed over", text)
	if err != nil {
		return err
	}
	have, err := s.standing()
	if err != nil {
		return err
	}
	add := func(ctx context.Context, cfg vswitch.PortConfig) error {
		_, err := s.engine.RestorePort(ctx, cfg)
		return err
	}
	for _, step := range s.steps(have, want, add) {
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return nil
}
