package control

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
)

// handler answers one method of one path. The body is whole, and nil but for
// POST and PATCH.
type handler func(ctx context.Context, r *http.Request, body []byte) (answer, error)

// methods are the handlers of a path.
type methods map[string]handler

// Paths of requests that are no change of one thing.
const (
	configPath   = "/v1/config"
	shutdownPath = "/v1/shutdown"
)

// table returns the handlers of each path but that of the events.
func (s *Server) table() map[string]methods {
	return map[string]methods{
		"/v1/version":                   {http.MethodGet: s.version},
		"/v1/show":                      {http.MethodGet: s.show},
		shutdownPath:                    {http.MethodPost: s.shutdown},
		"/v1/switches":                  {http.MethodGet: s.listSwitches, http.MethodPost: s.addSwitch},
		"/v1/switches/{switch}":         {http.MethodGet: s.getSwitch, http.MethodPatch: s.setSwitch, http.MethodDelete: s.deleteSwitch},
		configPath:                      {http.MethodGet: s.getConfig, http.MethodPost: s.setConfig},
		"/v1/profiles":                  {http.MethodGet: s.listProfiles, http.MethodPost: s.addProfile},
		"/v1/profiles/{profile}":        {http.MethodGet: s.getProfile, http.MethodPatch: s.setProfile, http.MethodDelete: s.deleteProfile},
		"/v1/ports":                     {http.MethodGet: s.listPorts, http.MethodPost: s.addPort},
		"/v1/ports/{switch}/{port}":     {http.MethodGet: s.getPort, http.MethodPatch: s.setPort, http.MethodDelete: s.deletePort},
		"/v1/vlans":                     {http.MethodGet: s.listVLANs},
		"/v1/fdb":                       {http.MethodGet: s.listFDB, http.MethodPost: s.addFDB},
		"/v1/fdb/flush":                 {http.MethodPost: s.flushFDB},
		"/v1/fdb/stats":                 {http.MethodGet: s.fdbStats},
		"/v1/fdb/{switch}/{vlan}/{mac}": {http.MethodDelete: s.deleteFDB},
	}
}

// routes returns the handler of all requests. Streams end with their context.
func (s *Server) routes(streams context.Context) http.Handler {
	mux := http.NewServeMux()
	for path, m := range s.table() {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, m) })
	}
	mux.HandleFunc("/v1/events", func(w http.ResponseWriter, r *http.Request) { s.events(streams, w, r) })
	mux.HandleFunc(takeoverPath, s.takeover)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.send(w, r, refusal(api.Errorf(api.NotFound, "nothing is at %s: the API is below /v1/, such as /v1/ports", r.URL.Path)))
	})
	return mux
}

// serve answers a request by the methods of its path.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, m methods) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h := m[method]
	if h == nil {
		s.send(w, r, notAllowed(w, r, m))
		return
	}
	c := connOf(r.Context())
	most := maxBody
	if r.URL.Path == configPath && c.changes {
		most = maxConfig
	}
	body, err := readBody(w, r, most)
	if err != nil {
		s.send(w, r, refusal(err))
		return
	}
	if c.peer.work.enter(r.Context()) != nil {
		return // the client has gone
	}
	defer c.peer.work.leave()
	c.setAsking(true)
	defer c.setAsking(false)
	switch {
	case method == http.MethodGet:
		s.look(w, r, gate{own: c.peer.looks, all: s.gate}, h, nil)
	case r.URL.Path == configPath && onlyCompares(body):
		s.look(w, r, gate{own: c.peer.compares, all: s.comparing}, s.compareConfig, body)
	case !c.changes:
		s.send(w, r, refusal(s.forbid(r, c)))
	default:
		s.change(w, r, c, h, body)
	}
}

var errMoved = api.Errorf(api.Moved, "another vswitchd has taken over: nothing was done, ask again")

// Alone calls fn while nobody changes anything.
func (s *Server) Alone(fn func()) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	fn()
}

// Moved has requests that wait be told that another daemon answers from now on. Whoever
// calls it lets nobody change anything, as Config.Takeover does.
func (s *Server) Moved() { s.moved.Store(true) }

// forbid says to who may only look what would work.
func (s *Server) forbid(r *http.Request, c *conn) error {
	s.cfg.Log.Info("forbidden", "method", r.Method, "path", r.URL.Path, "uid", c.cred.Uid, "pid", c.cred.Pid)
	if admin := s.cfg.AdminGroup.Name; admin != "" {
		return api.Errorf(api.Forbidden, "you may look, and change nothing: be root, or join the group %s", admin)
	}
	return api.Errorf(api.Forbidden, "you may look, and change nothing: be root, or have vswitchd started with --admin-group")
}

// notAllowed says which methods there are.
func notAllowed(w http.ResponseWriter, r *http.Request, m methods) answer {
	var allow []string
	for name := range m {
		allow = append(allow, name)
	}
	slices.Sort(allow)
	w.Header().Set("Allow", strings.Join(allow, ", "))
	return refusal(api.Errorf(api.NotAllowed, "%s does not fit %s: use %s", r.Method, r.URL.Path, strings.Join(allow, " or ")))
}

// look answers a request that changes nothing.
func (s *Server) look(w http.ResponseWriter, r *http.Request, g gate, h handler, body []byte) {
	if g.enter(r.Context()) != nil {
		return // the client has gone
	}
	defer g.leave()
	a, err := h(r.Context(), r, body)
	if s.moved.Load() { // the answer may be that of an engine which has nothing any more
		err = errMoved
	}
	if err != nil {
		a = refusal(err)
	}
	s.send(outside{w, g}, r, a)
}

// change answers a request that changes something, and logs who asked for it.
// The engine makes one change at a time; a process has one that waits for it.
func (s *Server) change(w http.ResponseWriter, r *http.Request, c *conn, h handler, body []byte) {
	if c.peer.changes.enter(r.Context()) != nil {
		return // the client has gone
	}
	a := s.changed(r, c, h, body)
	c.peer.changes.leave()
	s.send(w, r, a)
}

func (s *Server) changed(r *http.Request, c *conn, h handler, body []byte) answer {
	ctx, cancel := context.WithTimeout(r.Context(), workTime)
	defer cancel()
	start := time.Now()
	if r.URL.Path == configPath {
		s.configuring.Lock() // nobody changes meanwhile what is compared
		defer s.configuring.Unlock()
	} else {
		s.configuring.RLock()
		defer s.configuring.RUnlock()
	}
	if s.moved.Load() {
		return refusal(errMoved)
	}
	a, err := s.changeAndKeep(ctx, r, h, body)
	log := s.cfg.Log.With("method", r.Method, "path", r.URL.Path,
		"took", time.Since(start).Round(time.Microsecond), "uid", c.cred.Uid, "pid", c.cred.Pid)
	if a.about != "" {
		log = log.With("about", a.about)
	}
	if err != nil {
		log.Info("refused a change", "error", err)
		return refusal(err)
	}
	log.Info("changed")
	return a
}

// changeAndKeep makes a change and keeps it: what cannot be kept is not begun.
func (s *Server) changeAndKeep(ctx context.Context, r *http.Request, h handler, body []byte) (answer, error) {
	room := usualRoom
	if r.URL.Path == configPath || r.URL.Path == shutdownPath {
		room = 0 // setConfig knows how much later; the other keeps nothing
	}
	release, err := s.keeper.reserve(room)
	if err != nil {
		return answer{}, err
	}
	defer release()
	a, err := h(ctx, r, body)
	if a.release != nil {
		defer a.release()
	}
	if err == nil {
		err = s.keep(a.changed...)
	}
	return a, err
}

// send writes the answer within its deadline.
func (s *Server) send(w http.ResponseWriter, r *http.Request, a answer) {
	// A connection that knows no deadlines is a test's.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
	if a.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if r.Method == http.MethodHead {
		return
	}
	if err := encode(w, a.body); err != nil {
		// The status is out: only a broken connection can tell that the
		// answer is not whole.
		s.cfg.Log.Debug("an answer was not read", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// shutdown has the daemon end, once the answer is out.
func (s *Server) shutdown(_ context.Context, r *http.Request, body []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	var spec api.Shutdown
	if len(body) > 0 {
		if err := decode(body, &spec); err != nil {
			return answer{}, err
		}
	}
	if s.cfg.Shutdown == nil {
		return answer{}, api.Errorf(api.Refused, "this daemon ends with the program that it is a part of")
	}
	s.cfg.Shutdown(spec.Remove)
	return answer{}, nil
}

func (s *Server) version(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	if _, err := params(r); err != nil {
		return answer{}, err
	}
	return answer{body: api.Version{Version: s.cfg.Version, PID: s.cfg.PID}}, nil
}
