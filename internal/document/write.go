package document

import (
	"reflect"

	"github.com/goccy/go-yaml"
)

// Tree is a mapping that is to be written, in its order. Values are words,
// numbers, truths, Trees, and lists ([]any) of such.
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

// plain is a value as the YAML library takes it.
func plain(value any) any {
	switch v := value.(type) {
	case Tree:
		all := make(yaml.MapSlice, 0, len(v))
		for _, p := range v {
			all = append(all, yaml.MapItem{Key: p.Key, Value: plain(p.Value)})
		}
		return all
	case []any:
		all := make([]any, 0, len(v))
		for _, item := range v {
			all = append(all, plain(item))
		}
		return all
	}
	return value
}

// YAML writes the tree as a document, which [Parse] reads.
func (t Tree) YAML() ([]byte, error) {
	return yaml.MarshalWithOptions(plain(t), yaml.IndentSequence(true))
}

// JSON writes it in JSON, which is YAML as well.
func (t Tree) JSON() ([]byte, error) {
	text, err := t.YAML()
	if err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}
