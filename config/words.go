package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

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
	for _, w := range words {
		for _, id := range strings.FieldsFunc(w.Text, func(r rune) bool { return strings.ContainsRune("-, ", r) }) {
			if d.NotDecimal(w.Place, id) {
				return
			}
		}
	}
	if n.Kind == document.Scalar {
		v.VLANSet = api.ParseVLANSet(strings.ReplaceAll(n.Text, " ", ""))
		return
	}
	v.VLANSet = append(api.VLANSet{}, words.Texts()...)
}

// CVLANs are VLANs of customers, where 0 stands for frames without a tag.
type CVLANs struct{ VLANs }

// ParseAgeing reads a time, or a bare number of seconds, as vsctl does.
func ParseAgeing(word string) (time.Duration, error) {
	text := word
	if _, err := strconv.ParseUint(text, 10, 32); err == nil {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d != 0 && d < time.Second {
		return 0, fmt.Errorf("%q is not a time of a second or more: write such as 300s, 5m or 0", word)
	}
	return d, nil
}
