package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Tree is a mapping that is to be written, in its order. Values are words,
// whole numbers, truths, Trees, and lists ([]any) of such. Anything else is a
// mistake of who builds it, and writing it panics: so writing has no error, and a
// change that was made is never one that cannot be shown.
type Tree []Pair[any]

// Add adds a key.
func (t *Tree) Add(key string, value any) { *t = append(*t, Pair[any]{Key: key, Value: value}) }

// Say adds a key unless its value is nothing: empty, zero or false.
func (t *Tree) Say(key string, value any) {
	v := reflect.ValueOf(value)
	if !v.IsValid() || v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0 {
		return
	}
	t.Add(key, value)
}

// YAML writes the tree as a document, which [Parse] reads.
func (t Tree) YAML() []byte {
	if len(t) == 0 {
		return []byte("{}\n")
	}
	var b bytes.Buffer
	writeBlock(&b, t, 0)
	return b.Bytes()
}

// writeBlock writes a mapping that has keys, from where its first key stands.
func writeBlock(b *bytes.Buffer, t Tree, indent int) {
	for i, p := range t {
		if i > 0 {
			writeIndent(b, indent)
		}
		b.WriteString(yamlWord(p.Key) + ":")
		switch v := p.Value.(type) {
		case Tree:
			if len(v) > 0 {
				b.WriteByte('\n')
				writeIndent(b, indent+2)
				writeBlock(b, v, indent+2)
				continue
			}
		case []any:
			if len(v) > 0 {
				b.WriteByte('\n')
				writeIndent(b, indent+2)
				writeItems(b, v, indent+2)
				continue
			}
		}
		b.WriteString(" " + yamlScalar(p.Value) + "\n")
	}
}

// writeItems writes a list that has items, from where its first dash stands.
func writeItems(b *bytes.Buffer, items []any, indent int) {
	for i, item := range items {
		if i > 0 {
			writeIndent(b, indent)
		}
		b.WriteString("- ")
		switch v := item.(type) {
		case Tree:
			if len(v) > 0 {
				writeBlock(b, v, indent+2)
				continue
			}
		case []any:
			if len(v) > 0 {
				writeItems(b, v, indent+2)
				continue
			}
		}
		b.WriteString(yamlScalar(item) + "\n")
	}
}

func writeIndent(b *bytes.Buffer, n int) { b.WriteString(strings.Repeat(" ", n)) }

// yamlScalar returns what takes one line: also a mapping or a list of nothing.
func yamlScalar(value any) string {
	switch v := value.(type) {
	case Tree:
		return "{}"
	case []any:
		return "[]"
	case string:
		return yamlWord(v)
	}
	return number(value)
}

// number returns a whole number or a truth, which are the same in YAML and JSON.
func number(value any) string {
	switch value.(type) {
	case int, uint16, bool:
		return fmt.Sprint(value)
	}
	panic(fmt.Sprintf("document: a %T cannot be written", value))
}

// JSON writes it in JSON, which [Parse] reads as well.
func (t Tree) JSON() []byte {
	var b bytes.Buffer
	writeJSON(&b, t)
	b.WriteByte('\n')
	return b.Bytes()
}

func writeJSON(b *bytes.Buffer, value any) {
	switch v := value.(type) {
	case Tree:
		b.WriteByte('{')
		for i, p := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(jsonWord(p.Key) + ": ")
			writeJSON(b, p.Value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeJSON(b, item)
		}
		b.WriteByte(']')
	case string:
		b.WriteString(jsonWord(v))
	default:
		b.WriteString(number(v))
	}
}

// jsonWord leaves <, > and & as they are: nobody puts this into a web page.
func jsonWord(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("document: a string has no JSON: " + err.Error()) // it always has
	}
	return strings.TrimSuffix(b.String(), "\n")
}
