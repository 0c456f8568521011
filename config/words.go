package config

import (
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

// Word is a value that is a word to whoever reads it.
type Word string

// UnmarshalText implements [encoding.TextUnmarshaler].
func (w *Word) UnmarshalText(b []byte) error {
	*w = Word(b)
	return nil
}

// Placed is a word, and where it stands.
type Placed struct {
	document.Place
	Text string
}

// Words are one word, or a list of them.
type Words []Placed

// Decode implements [document.Decoder].
func (w *Words) Decode(d *document.Document, n *document.Node) {
	switch n.Kind {
	case document.Null:
	case document.Scalar:
		*w = Words{{n.Place, n.Text}}
	case document.Sequence:
		*w = Words{}
		for _, item := range n.Items {
			if item.Kind != document.Scalar {
				d.Wrong(item, "a word")
				continue
			}
			*w = append(*w, Placed{item.Place, item.Text})
		}
	default:
		d.Wrong(n, "a word, or a list of them")
	}
}

// Texts returns the words.
func (w Words) Texts() []string {
	var all []string
	for _, p := range w {
		all = append(all, p.Text)
	}
	return all
}

// VLANs are "all", or a list of VIDs and ranges.
type VLANs struct{ api.VLANSet }

// Decode implements [document.Decoder].
func (v *VLANs) Decode(d *document.Document, n *document.Node) {
	var words Words
	words.Decode(d, n)
	if n.Kind == document.Scalar {
		v.VLANSet = api.ParseVLANSet(strings.ReplaceAll(n.Text, " ", ""))
		return
	}
	v.VLANSet = append(api.VLANSet{}, words.Texts()...)
}
