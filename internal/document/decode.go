package document

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
)

// Decoder is a type that reads nodes in its own way, such as one that may be a
// word or a list. What is wrong, it rejects.
type Decoder interface {
	Decode(d *Document, n *Node)
}

// Where knows the places of a mapping's keys. A struct embeds it.
type Where struct {
	self Place
	keys map[string]Place // of values
}

// Of returns the place of a key's value, or of the whole where it has none.
func (w *Where) Of(key string) Place {
	if p, ok := w.keys[key]; ok {
		return p
	}
	return w.self
}

// Place returns that of the whole.
func (w *Where) Place() Place { return w.self }

// Has reports whether the mapping has a key.
func (w *Where) Has(key string) bool {
	_, ok := w.keys[key]
	return ok
}

// Keys returns the keys that stand there.
func (w *Where) Keys() (keys []string) {
	for k := range w.keys {
		keys = append(keys, k)
	}
	return keys
}

// Add makes the keys of another mapping stand here, where they do not yet.
func (w *Where) Add(from *Where) {
	keys := make(map[string]Place, len(w.keys)+len(from.keys))
	maps.Copy(keys, from.keys)
	maps.Copy(keys, w.keys)
	w.keys = keys
}

// Without returns the places without those of some keys.
func (w *Where) Without(keys ...string) *Where {
	less := &Where{w.self, maps.Clone(w.keys)}
	for _, k := range keys {
		delete(less.keys, k)
	}
	return less
}

func (w *Where) stand(self Place, entries []Entry) {
	w.self, w.keys = self, make(map[string]Place, len(entries))
	for _, e := range entries {
		w.keys[e.Key] = e.Value.Place
		if e.Value.Kind == Null {
			w.keys[e.Key] = e.Place
		}
	}
}

type placed interface{ stand(Place, []Entry) }

// Decode reads the document into what v points to. Of a document with syntax
// errors there is nothing to read.
func (d *Document) Decode(v any) {
	if d.root != nil {
		d.Into(d.root, v)
	}
}

// Empty reports whether there is nothing in the document.
func (d *Document) Empty() bool { return d.root == nil || d.root.Kind == Null }

// Into reads a node into what v points to. A node that is nothing changes nothing.
func (d *Document) Into(n *Node, v any) { d.into(n, reflect.ValueOf(v).Elem()) }

func (d *Document) into(n *Node, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if n.Kind == Null {
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	switch to := v.Addr().Interface().(type) {
	case Decoder:
		to.Decode(d, n)
		return
	case encoding.TextUnmarshaler:
		if d.scalar(n, "a value") {
			if err := to.UnmarshalText([]byte(n.Text)); err != nil {
				d.Reject(n.Place, "%v", err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.intoStruct(n, v)
	case reflect.Map:
		d.intoMap(n, v)
	case reflect.Slice:
		d.intoSlice(n, v)
	default:
		d.intoScalar(n, v)
	}
}

// scalar reports whether n is one; nothing is none, and no problem.
func (d *Document) scalar(n *Node, want string) bool {
	if n.Kind != Scalar && n.Kind != Null {
		d.Wrong(n, want)
	}
	return n.Kind == Scalar
}

// mapping reports whether n is one; nothing is none, and no problem.
func (d *Document) mapping(n *Node) bool {
	if n.Kind != Mapping && n.Kind != Null {
		d.Wrong(n, "a mapping")
	}
	return n.Kind == Mapping
}

func (d *Document) intoScalar(n *Node, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if d.scalar(n, "a word") {
			v.SetString(n.Text)
		}
	case reflect.Bool:
		if d.scalar(n, "true or false") {
			switch n.Text {
			case "true", "false":
				v.SetBool(n.Text == "true")
			default:
				d.Wrong(n, "true or false")
			}
		}
	case reflect.Int, reflect.Int64:
		if d.scalar(n, "a whole number") {
			d.intoInt(n, v)
		}
	default:
		panic(fmt.Sprintf("document: nothing can be read into a %v", v.Type()))
	}
}

func (d *Document) intoInt(n *Node, v reflect.Value) {
	if d.NotDecimal(n.Place, n.Text) {
		return
	}
	i, err := strconv.ParseInt(n.Text, 10, 64)
	if err != nil || v.OverflowInt(i) {
		d.Wrong(n, "a whole number")
		return
	}
	v.SetInt(i)
}

// NotDecimal rejects a whole number that is not plainly decimal, as readers of YAML do
// not agree about it: 010 is 8 in YAML 1.1, and 10 in YAML 1.2. It reports whether it
// did.
func (d *Document) NotDecimal(at Place, text string) bool {
	decimal, err := strconv.ParseInt(text, 10, 64)
	prefixed, prefixedErr := strconv.ParseInt(text, 0, 64) // such as 010, 0o10, 0x10, 1_000
	digits := strings.TrimLeft(text, "+-")
	switch {
	case err == nil && (len(digits) == 1 || digits[0] != '0'):
		return false
	case err == nil && prefixedErr == nil && decimal != prefixed:
		d.Reject(at, "%q may mean %d, or %d in octal: write %[2]d or %[3]d", text, decimal, prefixed)
	case err == nil:
		d.Reject(at, "%q begins with a zero, as octal numbers do: write %d", text, decimal)
	case prefixedErr == nil:
		d.Reject(at, "%q is not written in decimal: write %d", text, prefixed)
	default:
		return false
	}
	return true
}

func (d *Document) intoSlice(n *Node, v reflect.Value) {
	switch n.Kind {
	case Null:
	case Sequence:
		all := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
		for i, item := range n.Items {
			d.into(item, all.Index(i))
		}
		v.Set(all)
	default:
		d.Wrong(n, "a list")
	}
}

func (d *Document) intoMap(n *Node, v reflect.Value) {
	if !d.mapping(n) {
		return
	}
	all := reflect.MakeMap(v.Type())
	for _, e := range n.Entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.into(e.Value, value)
		all.SetMapIndex(reflect.ValueOf(e.Key), value)
	}
	v.Set(all)
}

func (d *Document) intoStruct(n *Node, v reflect.Value) {
	if p, ok := v.Addr().Interface().(placed); ok {
		p.stand(n.Place, n.Entries)
	}
	if !d.mapping(n) {
		return
	}
	fields := make(map[string]reflect.Value)
	fieldsOf(v, fields)
	for _, e := range n.Entries {
		field, ok := fields[e.Key]
		if !ok {
			d.unknownKey(e, keysOf(fields))
			continue
		}
		d.into(e.Value, field)
	}
}

// fieldsOf finds the fields of a struct, and of those in it that have no name of
// their own, by the words of their tags.
func fieldsOf(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || f.Type == reflect.TypeFor[Where]():
		case f.Anonymous && name == "":
			fieldsOf(v.Field(i), fields)
		case name != "" && f.IsExported():
			fields[name] = v.Field(i)
		}
	}
}

func keysOf(fields map[string]reflect.Value) (keys []string) {
	for k := range fields {
		keys = append(keys, k)
	}
	return keys
}

func (d *Document) unknownKey(e Entry, keys []string) {
	hint := DidYouMean(e.Key, keys)
	if under := strings.ReplaceAll(e.Key, "-", "_"); under != e.Key {
		for _, k := range keys {
			if k == under {
				hint = fmt.Sprintf("; did you mean %q?", k)
			}
		}
	}
	d.Reject(e.Place, "unknown key %q%s", e.Key, hint)
}

// Map is a mapping in the order of the file.
type Map[T any] []Pair[T]

// Pair is a key of a [Map], and its value.
type Pair[T any] struct {
	Place // of the key
	Key   string
	Value T
}

// Decode implements [Decoder].
func (m *Map[T]) Decode(d *Document, n *Node) {
	if !d.mapping(n) {
		return
	}
	for _, e := range n.Entries {
		p := Pair[T]{Place: e.Place, Key: e.Key}
		d.Into(e.Value, &p.Value)
		*m = append(*m, p)
	}
}

// Get returns the value of a key; nil: there is none.
func (m Map[T]) Get(key string) *T {
	for i := range m {
		if m[i].Key == key {
			return &m[i].Value
		}
	}
	return nil
}
