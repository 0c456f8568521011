package lab

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/internal/document"
)

func (b *builder) checkTests() {
	for i := range b.t.Tests {
		b.checkStep(&b.t.Tests[i])
	}
}

func (b *builder) checkStep(s *Step) {
	if n := len(s.Keys()); n != 1 {
		b.d.Reject(s.Place(), "a step does one thing, and this one %d: say ping, exec, down, up or impair", n)
	}
	for _, end := range slices.Concat(s.Down, s.Up) {
		b.findEnd(end.Place, end.Text)
	}
	if p := s.Ping; p != nil {
		b.checkPing(p)
	}
	if e := s.Exec; e != nil {
		b.checkExec(e)
	}
	if i := s.Impair; i != nil {
		b.checkImpairStep(i)
	}
}

func (b *builder) checkPing(p *PingStep) {
	if !p.Has("from") || !p.Has("to") {
		b.d.Reject(p.Place(), "a ping goes from a node to another, or to an address: write such as ping: {from: h1, to: h2}")
		return
	}
	if from := b.find(p.Of("from"), p.From); from != nil && from.Kind != Host && from.Kind != Router {
		b.d.Reject(p.Of("from"), "%s is of kind %s: a ping starts in a host or router", p.From, from.Kind)
	}
	if _, err := netip.ParseAddr(p.To); err != nil {
		if to := b.find(p.Of("to"), p.To); to != nil && !to.addressed() {
			b.d.Reject(p.Of("to"), "%s has no address that could be pinged", p.To)
		}
	}
	if p.Expect != "" && p.Expect != ExpectOK && p.Expect != ExpectFail {
		b.d.Reject(p.Of("expect"), "%q is nothing to expect: say ok or fail", p.Expect)
	}
}

func (m *Member) addressed() bool { return len(m.prefixes()) > 0 }

func (b *builder) checkExec(e *ExecStep) {
	if m := b.find(e.Of("node"), e.Node); m != nil && m.Kind != Host && m.Kind != Router {
		b.d.Reject(e.Of("node"), "%s is of kind %s: a command runs in a host or router", e.Node, m.Kind)
	}
	if len(e.Command.Args) == 0 {
		b.d.Reject(e.Place(), "the step has no command")
	}
	if _, err := regexp.Compile(e.Output); err != nil {
		b.d.Reject(e.Of("output"), "%q is no regular expression: %v", e.Output, err)
	}
}

func (b *builder) checkImpairStep(i *ImpairStep) {
	e := b.findEnd(i.Of("link"), i.Link)
	for _, p := range i.Impair.By {
		if e != nil && p.Key != e.String() && p.Key != e.Far().String() {
			b.d.Reject(p.Place, "%q is no end of this link%s", p.Key, document.DidYouMean(p.Key, []string{e.String(), e.Far().String()}))
		}
	}
	if i.Impair.Both == nil && len(i.Impair.By) == 0 {
		b.d.Reject(i.Place(), "what shall become of the link is missing: write such as impair: {link: sw1:up, impair: {loss: 5%%}}")
	}
}

// findEnd returns the end of a link that is named NODE:PORT, or rejects it.
func (b *builder) findEnd(at document.Place, name string) *End {
	if e := b.used[name]; e != nil {
		return e
	}
	node, _, ok := strings.Cut(name, ":")
	if !ok {
		b.d.Reject(at, "%q is no end of a link: write such as sw1:up", name)
		return nil
	}
	m := b.find(at, node)
	if m == nil {
		return nil
	}
	var names []string
	for _, e := range m.Ends {
		names = append(names, e.String())
	}
	b.d.Reject(at, "no link ends at %q%s", name, document.DidYouMean(name, names))
	return nil
}
