package lab

import (
	"fmt"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/config"
	"github.com/vswitch/vswitch/internal/document"
)

// Duration is a time, such as "2s".
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler].
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a time: write such as 2s or 500ms", b)
	}
	*d = Duration(v)
	return nil
}

// Addresses are those of a node: a word or a list for its first interface, or a
// mapping of interfaces to such.
type Addresses struct {
	First config.Words
	By    document.Map[config.Words] // interface
}

// Decode implements [document.Decoder].
func (a *Addresses) Decode(d *document.Document, n *document.Node) {
	if n.Kind == document.Mapping {
		a.By.Decode(d, n)
		return
	}
	a.First.Decode(d, n)
}

// Command is a command: a word for the shell, or a list of its arguments.
type Command struct {
	document.Place
	Args []string
}

// Decode implements [document.Decoder].
func (c *Command) Decode(d *document.Document, n *document.Node) {
	c.Place = n.Place
	switch n.Kind {
	case document.Scalar:
		c.Args = []string{"sh", "-c", n.Text}
		if strings.TrimSpace(n.Text) == "" {
			d.Reject(n.Place, "the command is empty")
		}
	case document.Sequence:
		c.Args = nil
		d.Into(n, &c.Args)
		if len(c.Args) == 0 || c.Args[0] == "" {
			d.Reject(n.Place, "the command is empty")
		}
	case document.Null:
	default:
		d.Wrong(n, "a command")
	}
}

// String returns the command as one would type it.
func (c Command) String() string {
	if len(c.Args) == 3 && c.Args[0] == "sh" && c.Args[1] == "-c" {
		return c.Args[2]
	}
	return strings.Join(c.Args, " ")
}

// Decode implements [document.Decoder]: a service may be its command alone.
func (s *Service) Decode(d *document.Document, n *document.Node) {
	if n.Kind == document.Mapping {
		type plain Service // without this method
		d.Into(n, (*plain)(s))
		return
	}
	s.Command.Decode(d, n)
}

// Decode implements [document.Decoder].
func (e *Endpoint) Decode(d *document.Document, n *document.Node) {
	if n.Kind == document.Mapping {
		type plain Endpoint
		d.Into(n, (*plain)(e))
		return
	}
	var word struct{ document.Where }
	d.Into(&document.Node{Place: n.Place}, &word)
	e.Where = word.Where
	if n.Kind != document.Scalar {
		d.Wrong(n, "an endpoint, such as h1:eth0")
		return
	}
	var named bool
	if e.Node, e.Port, named = strings.Cut(n.Text, ":"); named && e.Port == "" {
		d.Reject(n.Place, "%q names no interface or port behind the colon: leave the colon out for one that is named for you", n.Text)
	}
}

// Route is a route as ip-route(8) has it: "10.9.0.0/16 via 10.0.0.254 dev eth0".
type Route struct {
	document.Place
	To, Via, Dev string
}

// Decode implements [document.Decoder].
func (r *Route) Decode(d *document.Document, n *document.Node) {
	r.Place = n.Place
	words := strings.Fields(n.Text)
	if n.Kind != document.Scalar || len(words) == 0 {
		d.Wrong(n, "a route, such as 10.9.0.0/16 via 10.0.0.254")
		return
	}
	r.To = words[0]
	for words = words[1:]; len(words) >= 2; words = words[2:] {
		switch words[0] {
		case "via":
			r.Via = words[1]
		case "dev":
			r.Dev = words[1]
		default:
			d.Reject(n.Place, "a route has no %q: write such as 10.9.0.0/16 via 10.0.0.254 dev eth0", words[0])
			return
		}
	}
	if len(words) > 0 || r.Via == "" && r.Dev == "" {
		d.Reject(n.Place, "a route goes somewhere: write such as %s via 10.0.0.254", r.To)
	}
}

// Impair is what a link does to frames: the same in both directions, or by the
// end that they leave.
type Impair struct {
	document.Place
	Both *api.ImpairmentSpec
	By   document.Map[*api.ImpairmentSpec] // endpoint
}

// Decode implements [document.Decoder].
func (i *Impair) Decode(d *document.Document, n *document.Node) {
	i.Place = n.Place
	switch n.Kind {
	case document.Null:
		return
	case document.Scalar:
		if n.Text == "none" {
			i.Both = &api.ImpairmentSpec{Replace: true}
			return
		}
		d.Wrong(n, "a mapping such as {delay: 20ms, loss: 0.1%}, or none")
		return
	case document.Sequence:
		d.Wrong(n, "a mapping such as {delay: 20ms, loss: 0.1%}")
		return
	}
	byEnd := len(n.Entries) > 0
	for _, e := range n.Entries {
		byEnd = byEnd && e.Value.Kind == document.Mapping
	}
	if !byEnd {
		i.Both = config.ReadImpairment(d, n)
		return
	}
	for _, e := range n.Entries {
		i.By = append(i.By, document.Pair[*api.ImpairmentSpec]{Place: e.Place, Key: e.Key, Value: config.ReadImpairment(d, e.Value)})
	}
}
