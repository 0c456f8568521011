package config

import (
	"slices"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

// Impair says what a port's line does to frames, by direction as the switch sees
// it.
type Impair struct {
	Egress, Ingress *api.ImpairmentSpec // nil: nothing
}

// Decode implements [document.Decoder]: a mapping of egress and ingress, or the
// words for both alike.
func (i *Impair) Decode(d *document.Document, n *document.Node) {
	byWay := n.Kind == document.Mapping && len(n.Entries) > 0
	for _, e := range n.Entries {
		byWay = byWay && (e.Key == "egress" || e.Key == "ingress")
	}
	switch {
	case n.Kind == document.Null, n.Kind == document.Scalar && n.Text == "none":
	case byWay:
		for _, e := range n.Entries {
			to := &i.Egress
			if e.Key == "ingress" {
				to = &i.Ingress
			}
			if e.Value.Kind != document.Mapping {
				d.Wrong(e.Value, "a mapping such as {delay: 20ms, loss: 0.1%}")
				continue
			}
			*to = ReadImpairment(d, e.Value)
		}
	case n.Kind == document.Mapping:
		both := ReadImpairment(d, n)
		i.Egress, i.Ingress = both, both
	default:
		d.Wrong(n, "a mapping such as {delay: 20ms, loss: 0.1%}, or none")
	}
}

// ReadImpairment reads what becomes of frames in one direction. Its keys are the
// words of vsctl port impair, with underscores.
func ReadImpairment(d *document.Document, n *document.Node) *api.ImpairmentSpec {
	var all, rate []string
	var queue *document.Node
	var names []string
	for _, w := range api.ImpairmentWords {
		names = append(names, strings.ReplaceAll(w.Name, "-", "_"))
	}
	whole := true
	for _, e := range n.Entries {
		word := strings.ReplaceAll(e.Key, "_", "-")
		pair := []string{word, e.Value.Text}
		switch {
		case !slices.Contains(names, e.Key):
			d.Reject(e.Place, "unknown key %q%s", e.Key, document.DidYouMean(e.Key, names))
			whole = false
			continue
		case e.Value.Kind != document.Scalar:
			d.Wrong(e.Value, "a value")
			whole = false
			continue
		case word == "in-order":
			var on bool
			d.Into(e.Value, &on)
			if on {
				all = append(all, word)
			}
			continue
		case word == "queue":
			queue = e.Value
			all = append(all, pair...)
			continue
		case word == "rate":
			rate = pair
		}
		if _, err := api.ParseImpairment(pair); err != nil {
			d.Reject(e.Value.Place, "%s", withoutWord(err, word))
			whole = false
			continue
		}
		all = append(all, pair...)
	}
	if queue != nil && whole {
		if _, err := api.ParseImpairment(append([]string{"queue", queue.Text}, rate...)); err != nil {
			d.Reject(queue.Place, "%s", withoutWord(err, "queue"))
			whole = false
		}
	}
	if !whole {
		return nil
	}
	spec, err := api.ParseImpairment(all)
	if err != nil {
		d.Reject(n.Place, "%v", err)
		return nil
	}
	return spec
}

// withoutWord takes the name from an error that stands beside it anyway.
func withoutWord(err error, word string) string {
	return strings.TrimPrefix(err.Error(), word+": ")
}
