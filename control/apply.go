package control

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/internal/document"
	"github.com/vswitch/vswitch/internal/natural"
	"github.com/vswitch/vswitch/port"

	vswitch "github.com/vswitch/vswitch/switch"
)

func (s *Server) getConfig(_ context.Context, r *http.Request, _ []byte) (answer, error) {
	p, err := params(r, "format")
	if err != nil {
		return answer{}, err
	}
	m, err := s.standingNow()
	if err != nil {
		return answer{}, err
	}
	switch p["format"] {
	case "", "json":
		return answer{body: rawJSON(m.tree().JSON())}, nil
	case "yaml":
		return answer{body: api.ConfigText{Text: string(m.tree().YAML())}}, nil
	}
	return answer{}, api.Errorf(api.Invalid, "%q is no format: use json or yaml", p["format"])
}

// standingNow is standing for who does not keep others from changing the configuration.
func (s *Server) standingNow() (*model, error) {
	s.configuring.RLock()
	defer s.configuring.RUnlock()
	return s.standing()
}

// rawJSON is an answer that is JSON already.
type rawJSON []byte

// MarshalJSON implements json.Marshaler.
func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// comparison is a document beside the configuration as it stands.
type comparison struct {
	have, want *model
	doc        *config.Document
	file       *document.Document
	result     api.ConfigResult // but for Changes and Warnings
}

// compare reads a document that is to be in force, and compares it.
func (s *Server) compare(spec api.ConfigSpec, standing func() (*model, error)) (c comparison, err error) {
	name := cmp.Or(spec.Name, "config")
	if err := checkText("name", name); err != nil {
		return c, err
	}
	c.doc, c.file = config.Read(name, []byte(spec.Text))
	if c.file.Err() == nil {
		c.want = wanted(c.doc, c.file)
		rejectClashes(c.doc, c.file)
	}
	if err := c.file.Err(); err != nil {
		return c, err
	}
	if c.have, err = standing(); err != nil {
		return c, err
	}
	c.want.adopt(c.have)
	c.result = api.ConfigResult{Changes: []string{}, DryRun: spec.DryRun, Diff: difference(c.have, c.want)}
	return c, nil
}

// onlyCompares reports whether a body asks what a document would change, and for no
// change.
func onlyCompares(body []byte) bool {
	var spec api.ConfigSpec
	return decode(body, &spec) == nil && spec.DryRun
}

// configSpec reads what a request asks for.
func configSpec(r *http.Request, body []byte) (spec api.ConfigSpec, err error) {
	if _, err := params(r); err != nil {
		return spec, err
	}
	return spec, decode(body, &spec)
}

// compareConfig says what a document would change. Who may only look is not told what
// the machine has, which is seen with the daemon's rights.
func (s *Server) compareConfig(_ context.Context, r *http.Request, body []byte) (answer, error) {
	spec, err := configSpec(r, body)
	if err != nil {
		return answer{}, err
	}
	c, err := s.compare(spec, s.standingNow)
	if err != nil {
		return answer{}, err
	}
	for _, step := range s.steps(c.have, c.want, nil) {
		c.result.Changes = append(c.result.Changes, step.what)
	}
	if connOf(r.Context()).changes {
		c.result.Warnings, err = s.missing(c)
	}
	return answer{body: c.result}, err
}

// setConfig puts a configuration in force: whole, or not at all.
func (s *Server) setConfig(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	spec, err := configSpec(r, body)
	if err != nil {
		return answer{}, err
	}
	c, err := s.compare(spec, s.standing)
	if err != nil {
		return answer{}, err
	}
	var lost []string
	all := s.steps(c.have, c.want, func(ctx context.Context, cfg vswitch.PortConfig) error {
		why, err := s.engine.AwaitPort(ctx, cfg)
		if err == nil && why != nil {
			lost = append(lost, s.lost(cfg, why))
		}
		return err
	})
	for _, step := range all {
		c.result.Changes = append(c.result.Changes, step.what)
	}
	a := answer{about: fmt.Sprint("changes: ", len(all))}
	c.result.Warnings, err = s.missing(c)
	if err == nil && len(all) > 0 {
		a.changed = []thing{thingAll{}}
		if a.release, err = s.reserveFor(c.want); err == nil {
			err = s.do(ctx, all)
			c.result.Warnings = lost // of containers as well
		}
	}
	a.body = c.result
	return a, err
}

// reserveFor makes sure that a configuration can be kept, by what it takes as it will
// be written: a few lines of YAML, with anchors, may be a great many ports.
func (s *Server) reserveFor(want *model) (release func(), err error) {
	room, err := want.room()
	if err != nil {
		return nil, err
	}
	return s.keeper.reserve(room)
}

// adopt has ports keep what the document leaves open: the names of their far ends.
func (m *model) adopt(have *model) {
	for name, sw := range m.switches {
		for p, cfg := range sw.ports {
			stands, ok := have.port(port.PeerName{Switch: name, Port: p})
			if ok && cfg.Attach.IfName == "" && cfg.Attach.Kind == stands.Attach.Kind {
				cfg.Attach.IfName = stands.Attach.IfName
				sw.ports[p] = cfg
			}
		}
	}
}

// difference writes how a configuration becomes another, as diff -u does.
func difference(have, want *model) string {
	text := string(diff.Diff("running", have.tree().YAML(), "wanted", want.tree().YAML()))
	_, text, _ = strings.Cut(text, "\n") // the command that nobody has typed
	return text
}

// lost logs that a port that is added has nothing to hang on yet, and returns the
// warning.
func (s *Server) lost(cfg vswitch.PortConfig, why error) string {
	s.cfg.Log.Warn("port is lost", "port", cfg.Switch+"/"+cfg.Name, "reason", why)
	return lostUntil(cfg, why)
}

func lostUntil(cfg vswitch.PortConfig, why error) string {
	return fmt.Sprintf("port %s/%s is lost until it has what it hangs on: %v", cfg.Switch, cfg.Name, why)
}

// missing returns warnings of what ports would hang on that is not there, as far as can
// be told without asking a container's engine, and an error where they could not hang
// on what is there, before anything is touched. Ports that stay may be lost. What no
// change of the machine's devices mends is an error of the document.
func (s *Server) missing(c comparison) (warnings []string, err error) {
	have, want := c.have, c.want
	for _, sw := range natural.Sorted(maps.Keys(want.switches)) {
		for _, name := range natural.Sorted(maps.Keys(want.switches[sw].ports)) {
			next := want.switches[sw].ports[name]
			if old, stands := have.port(port.PeerName{Switch: sw, Port: name}); stands && hangsAlike(old, next) {
				continue
			}
			err := s.engine.Missing(next.Attach)
			p := written(c.doc, sw, name)
			switch {
			case isCode(err, vswitch.NotFound):
				warnings = append(warnings, lostUntil(next, err))
			case isCode(err, vswitch.Invalid) && p != nil:
				c.file.RejectIn(&p.Where, asError(err).Message)
			case err != nil:
				e := asError(err)
				return nil, api.Errorf(e.Code, "add port %s/%s: %s; nothing was changed", sw, name, e.Message)
			}
		}
	}
	return warnings, c.file.Err()
}

// written returns a port as the document has it; nil: it has none of that name.
func written(doc *config.Document, sw, name string) *config.Port {
	for _, s := range doc.Switches {
		if s.Key != sw || s.Value == nil {
			continue
		}
		for _, p := range s.Value.Ports {
			if p.Key == name {
				return p.Value
			}
		}
	}
	return nil
}
