package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What a file may have. People write less; who writes more means harm.
const (
	maxSize  = 4 << 20 // octets
	maxLine  = 1 << 20 // octets; the scanner reads a line as a whole
	maxDepth = 64      // of nesting
	maxNodes = 1 << 18 // aliases counted as often as they are used
	maxWords = 1 << 20 // and marks: a node has no more than four
)

// Document is a file that was read.
type Document struct {
	name     string
	lines    []string
	root     *Node // nil: there is none, or it cannot be read
	problems []Problem
}

// Kind is what a [Node] is.
type Kind uint8

// The kinds of nodes.
const (
	Null Kind = iota
	Scalar
	Sequence
	Mapping
)

func (k Kind) String() string {
	return [...]string{"nothing", "a value", "a list", "a mapping"}[k]
}

// Node is a part of a document, with aliases and merges resolved.
type Node struct {
	Place
	Kind    Kind
	Text    string  // of a scalar, without quotes
	Items   []*Node // of a sequence
	Entries []Entry // of a mapping, in the order of the file
}

// Entry is a key of a mapping, and its value.
type Entry struct {
	Place // of the key
	Key   string
	Value *Node
}

// Parse reads a file. What is wrong with it, [Document.Err] says.
func Parse(name string, text []byte) *Document {
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // editors on Windows write it
	d := &Document{name: name, lines: strings.Split(string(text), "\n")}
	switch {
	case len(text) > maxSize:
		d.lines = nil
		d.Reject(Place{}, "the file has %d octets, and %d are the most", len(text), maxSize)
		return d
	case !utf8.Valid(text):
		d.Reject(Place{}, "the file is not UTF-8 text: is it a YAML file?")
		return d
	}
	for i, line := range d.lines {
		if len(line) > maxLine {
			d.Reject(Place{i + 1, 1, 1}, "the line has %d octets, and %d are the most: write it on several", len(line), maxLine)
			return d
		}
	}
	tokens, problem := tokenize(string(text))
	if problem != nil {
		d.problems = append(d.problems, *problem)
		return d
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.rejectSyntax(err)
		return d
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		// A directive, such as %YAML 1.2, is a document of its own to the parser.
		if doc.Body != nil && doc.Body.Type() != ast.DirectiveType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		return d
	}
	if len(bodies) > 1 {
		d.Reject(placeOf(bodies[1].GetToken()), "a second document begins here: one file is one document")
		return d
	}
	r := &reader{d: d, anchors: make(map[string]ast.Node)}
	d.root = r.read(bodies[0], 0)
	return d
}

func (d *Document) rejectSyntax(err error) {
	var syntax *yaml.SyntaxError
	if errors.As(err, &syntax) {
		d.Reject(placeOf(syntax.Token), "%s", syntax.Message)
		return
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	d.Reject(Place{}, "%s", message)
}

// placeOf returns where a token stands.
func placeOf(t *token.Token) Place {
	if t == nil || t.Position == nil {
		return Place{}
	}
	width := utf8.RuneCountInString(strings.TrimSpace(t.Origin))
	if first, _, more := strings.Cut(strings.TrimSpace(t.Origin), "\n"); more {
		width = utf8.RuneCountInString(first)
	}
	return Place{Line: t.Position.Line, Column: t.Position.Column, Width: max(width, 1)}
}

// reader makes Nodes of what the parser has found.
type reader struct {
	d       *Document
	anchors map[string]ast.Node
	open    []ast.Node // aliases that are being read
	nodes   int
	full    bool // too many; said once
}

// read returns a node, and never nil.
func (r *reader) read(n ast.Node, depth int) *Node {
	if n == nil {
		return &Node{}
	}
	at := placeOf(n.GetToken())
	r.nodes++
	switch {
	case r.full:
		return &Node{Place: at}
	case r.nodes > maxNodes:
		r.full = true
		r.d.Reject(at, "the file has more than %d parts, aliases counted as often as they are used", maxNodes)
		return &Node{Place: at}
	case depth > maxDepth:
		r.d.Reject(at, "nested deeper than %d", maxDepth)
		return &Node{Place: at}
	}
	switch n := n.(type) {
	case *ast.NullNode:
		return &Node{Place: at}
	case *ast.AnchorNode:
		r.anchors[n.Name.GetToken().Value] = n.Value
		return r.read(n.Value, depth)
	case *ast.AliasNode:
		return r.alias(n, at, depth)
	case *ast.TagNode:
		return r.read(n.Value, depth)
	case *ast.LiteralNode:
		return &Node{Place: at, Kind: Scalar, Text: n.Value.Value}
	case *ast.StringNode:
		return &Node{Place: at, Kind: Scalar, Text: n.Value}
	case ast.ScalarNode: // of other types: as it is written
		return &Node{Place: at, Kind: Scalar, Text: n.GetToken().Value}
	case *ast.SequenceNode:
		s := &Node{Place: at, Kind: Sequence}
		for _, item := range n.Values {
			if word := wordWithColon(item); word != nil {
				s.Items = append(s.Items, word)
				continue
			}
			s.Items = append(s.Items, r.read(item, depth+1))
		}
		return s
	case *ast.MappingNode:
		return r.mapping(n.Values, at, depth)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{n}, placeOf(n.Key.GetToken()), depth)
	}
	r.d.Reject(at, "%s is not understood here", strings.ToLower(n.Type().YAMLName()))
	return &Node{Place: at}
}

// wordWithColon returns the word that an item of a list is, though the parser
// takes it for a mapping: in {endpoints: [h1:eth0]} it divides h1:eth0, where no
// space follows the colon (YAML 1.2.2, section 7.3.3, has one word there).
func wordWithColon(item ast.Node) *Node {
	m, ok := item.(*ast.MappingNode)
	if !ok || len(m.Values) != 1 || m.Start == nil || m.Start.Value == "{" {
		return nil
	}
	key, value := m.Values[0].Key.GetToken(), m.Values[0].Value.GetToken()
	if _, scalar := m.Values[0].Value.(ast.ScalarNode); !scalar || key.Type == token.DoubleQuoteType || key.Type == token.SingleQuoteType {
		return nil
	}
	at, next := placeOf(key), placeOf(value)
	if at.Line != next.Line || next.Column != at.Column+utf8.RuneCountInString(key.Value)+1 {
		return nil
	}
	at.Width += 1 + next.Width
	return &Node{Place: at, Kind: Scalar, Text: key.Value + ":" + value.Value}
}

func (r *reader) alias(n *ast.AliasNode, at Place, depth int) *Node {
	name := n.Value.GetToken().Value
	target, ok := r.anchors[name]
	if !ok {
		r.d.Reject(at, "no anchor &%s stands before this alias", name)
		return &Node{Place: at}
	}
	for _, open := range r.open {
		if open == target {
			r.d.Reject(at, "the alias *%s is a part of itself", name)
			return &Node{Place: at}
		}
	}
	r.open = append(r.open, target)
	defer func() { r.open = r.open[:len(r.open)-1] }()
	return r.read(target, depth)
}

func (r *reader) mapping(values []*ast.MappingValueNode, at Place, depth int) *Node {
	m := &Node{Place: at, Kind: Mapping}
	var merged []*Node
	for _, v := range values {
		place := placeOf(v.Key.GetToken())
		if v.Key.IsMergeKey() {
			merged = append(merged, r.merges(r.read(v.Value, depth+1))...)
			continue
		}
		key := r.read(v.Key, depth+1)
		if key.Kind == Sequence || key.Kind == Mapping {
			r.d.Reject(place, "a key is a word")
			continue
		}
		if first := m.entry(key.Text); first != nil {
			r.d.Reject(place, "%q stands twice: first in line %d", key.Text, first.Line)
			continue
		}
		m.Entries = append(m.Entries, Entry{place, key.Text, r.read(v.Value, depth+1)})
	}
	// What the mapping says itself has the last word, and then what is merged
	// first.
	for _, from := range merged {
		for _, e := range from.Entries {
			if m.entry(e.Key) == nil {
				m.Entries = append(m.Entries, e)
			}
		}
	}
	return m
}

// merges returns the mappings that a merge key names.
func (r *reader) merges(n *Node) (all []*Node) {
	switch n.Kind {
	case Mapping:
		return []*Node{n}
	case Sequence:
		for _, item := range n.Items {
			all = append(all, r.merges(item)...)
		}
		return all
	case Null:
		return nil
	}
	r.d.Reject(n.Place, "<< takes a mapping, or a list of them")
	return nil
}

// entry returns the entry of a key; nil: there is none.
func (n *Node) entry(key string) *Entry {
	for i := range n.Entries {
		if n.Entries[i].Key == key {
			return &n.Entries[i]
		}
	}
	return nil
}

// Wrong notes that the node is not what belongs here.
func (d *Document) Wrong(n *Node, want string) {
	have := n.Kind.String()
	if n.Kind == Scalar {
		have = fmt.Sprintf("%q", n.Text)
	}
	d.Reject(n.Place, "%s stands here, and not %s", have, want)
}
