package document

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestWrite holds how a tree is laid out, in its order.
func TestWrite(t *testing.T) {
	tree := Tree{
		{Key: "version", Value: 1},
		{Key: "none", Value: Tree{}},
		{Key: "list", Value: []any{}},
		{Key: "a b", Value: []any{
			1, "x", Tree{{Key: "vlan", Value: 1}, {Key: "in", Value: Tree{{Key: "z", Value: true}}}}, Tree{}, []any{"y", 2},
		}},
		{Key: "10", Value: "10"},
		{Key: "last", Value: `h"e' <y>`},
	}
	wantYAML := `version: 1
none: {}
list: []
a b:
  - 1
  - x
  - vlan: 1
    in:
      z: true
  - {}
  - - "y"
    - 2
"10": "10"
last: h"e' <y>
`
	wantJSON := `{"version": 1, "none": {}, "list": [], "a b": [1, "x", {"vlan": 1, "in": {"z": true}}, {}, ["y", 2]], "10": "10", "last": "h\"e' <y>"}` + "\n"
	if got := string(tree.YAML()); got != wantYAML {
		t.Errorf("YAML: got\n%s\nwant\n%s", got, wantYAML)
	}
	if got := string(tree.JSON()); got != wantJSON {
		t.Errorf("JSON: got\n%s\nwant\n%s", got, wantJSON)
	}
	if yaml, json := string(Tree{}.YAML()), string(Tree{}.JSON()); yaml != "{}\n" || json != "{}\n" {
		t.Errorf("nothing: got %q and %q, want {} in both", yaml, json)
	}
}

func TestWordsThatNeedNoQuotes(t *testing.T) {
	for _, word := range []string{
		"h1", "10.0.0.1/24", "fd00::1/64", "02:00:00:00:00:01", "52:54:00:12:34:5e", "bcast=1000pps", "300s", "10mbit", "1%", "10-20", "1.2.3",
		"br0/uplink", "/run/netns/blue", "the port of Ann's desk, to the left", "Größe", "eth0.100", "web (old)", "0 to 9",
	} {
		if got := yamlWord(word); got != word {
			t.Errorf("%q is written %s, want it without quotes", word, got)
		}
	}
}

// hardWords are strings that readers of YAML take for something else, when they
// stand without quotes.
var hardWords = []string{
	"", "\xad\xb1", " ", " a", "a ", "a  b", "\ta", "a\tb", "a\nb", "a\n", "\r", "a\r\nb", "\x00", "\x1b[0m", "\x7f", "\u0085", "\u00a0", "\u2028", "\ufeff", "a\ufeff", "\uffff",
	"?", "? q", "-", "- x", "---", "--- x", "...", ":", ": x", "a: b", "a:", "a :b", "# x", "a # b", "a #b", "&a", "*a", "!a", "!!int 1", "|", "|-", ">", "%YAML 1.2", "@a", "`a`",
	"'", "'a", `"`, `"a"`, `\`, `a\nb`, "[", "[a]", "]", "{", "{a: b}", "}", ",", "a, b", "a]", "a}", "<<", "a<<", "0 <<", "a<<b", "=", "<", "~", "null", "Null", "NULL",
	"true", "True", "false", "yes", "YES", "no", "on", "On", "off", "y", "N", ".inf", "-.inf", ".NaN", ".", ".5",
	"0", "1", "-1", "+1", "010", "08", "0o10", "0x10", "0b1", "0X1F", "1_000", "1,000", "1e3", "1E3", "1e+3", "1.", "1.5", "1.5e3", "0.", "190:20:30", "1:30", "52:54:00:12:34:56", "190:20:30.15",
	"2024-01-02", "2024-1-2", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05", "😀", strings.Repeat("a", 2000), strings.Repeat("a b", 400),
	strings.Repeat("{", 100), strings.Repeat("[a: ", 100), strings.Repeat("- ", 1000),
}

// TestAnyStringIsReadBack holds that a string is read back as that very string, from
// YAML and JSON, wherever it stands. Its words are the table; the fuzz target has more.
func TestAnyStringIsReadBack(t *testing.T) {
	for _, s := range hardWords {
		checkReadBack(t, s)
	}
}

func FuzzWrite(f *testing.F) {
	for _, s := range hardWords {
		f.Add(s)
	}
	f.Fuzz(checkReadBack)
}

func checkReadBack(t *testing.T, s string) {
	tree := Tree{
		{Key: "value", Value: s},
		{Key: "key", Value: Tree{{Key: s, Value: s}}},
		{Key: "list", Value: []any{s, Tree{{Key: s, Value: []any{s, s}}}}},
		{Key: "end", Value: "x"},
	}
	valid := string([]rune(s)) // an octet that is not UTF-8 is U+FFFD
	want := map[string]any{
		"value": valid, "key": map[string]any{valid: valid}, "end": "x",
		"list": []any{valid, map[string]any{valid: []any{valid, valid}}},
	}
	for format, text := range map[string][]byte{"YAML": tree.YAML(), "JSON": tree.JSON()} {
		d := Parse("f", text)
		if err := d.Err(); err != nil {
			t.Errorf("%q as %s is not read:\n%v\n%s", s, format, err, text)
			continue
		}
		if got := native(d.root); !reflect.DeepEqual(got, want) {
			t.Errorf("%q as %s: got %q, want %q\n%s", s, format, got, want, text)
		}
	}
	var got map[string]any
	if err := json.Unmarshal(tree.JSON(), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q by encoding/json: got %q, %v, want %q", s, got, err, want)
	}
}

// native returns a node as encoding/json would have it, all scalars as strings.
func native(n *Node) any {
	switch n.Kind {
	case Mapping:
		m := make(map[string]any)
		for _, e := range n.Entries {
			m[e.Key] = native(e.Value)
		}
		return m
	case Sequence:
		var all []any
		for _, item := range n.Items {
			all = append(all, native(item))
		}
		return all
	case Scalar:
		return n.Text
	}
	return nil
}
