package document

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type spec struct {
	Where
	Name  string            `yaml:"name"`
	Count int               `yaml:"count"`
	On    *bool             `yaml:"on"`
	Words []string          `yaml:"words"`
	Env   map[string]string `yaml:"env"`
	Wait  wait              `yaml:"wait"`
	Inner Map[inner]        `yaml:"inner"`
	shared
}

type shared struct {
	MTU int `yaml:"mtu"`
}

type inner struct {
	Where
	Size int `yaml:"size"`
}

type wait time.Duration

func (w *wait) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a time", b)
	}
	*w = wait(d)
	return nil
}

func read(text string) (s spec, err error) {
	d := Parse("f.yaml", []byte(text))
	d.Decode(&s)
	return s, d.Err()
}

func TestDecode(t *testing.T) {
	yes := true
	got, err := read(`
name: "a: b"   # a comment
count: 16
on: true
words: [10, 1.50, yes, 02:00:00:00:00:01, fd00::1/64, ~x]
env: {A: 1, B: "2"}
wait: 20ms
mtu: 1400
inner:
  z: {size: 1}
  a: &a {size: 2}
  b: *a
  c:
    <<: *a
  d:
`)
	if err != nil {
		t.Fatal(err)
	}
	flow, err := read("{words: [h1:eth0, 02:00:00:00:00:01, fd00::1/64, \"a:b\"], inner: {x: {size: 1}}}")
	if want := []string{"h1:eth0", "02:00:00:00:00:01", "fd00::1/64", "a:b"}; err != nil || !reflect.DeepEqual(flow.Words, want) {
		t.Errorf("words in brackets in braces: got %q, %v, want %q", flow.Words, err, want)
	}
	if _, err := read("{words: [a: b]}"); err == nil {
		t.Error("a mapping in a list of words is no error")
	}
	var order []string
	for _, p := range got.Inner {
		order = append(order, fmt.Sprint(p.Key, p.Value.Size))
	}
	if want := []string{"z1", "a2", "b2", "c2", "d0"}; !reflect.DeepEqual(order, want) {
		t.Errorf("inner: got %v, want %v", order, want)
	}
	if at := got.Of("count"); at.Line != 3 || at.Column != 8 {
		t.Errorf("count stands at %+v, want line 3, column 8", at)
	}
	if at := got.Inner.Get("z").Of("size"); at.Line != 10 || at.Column != 13 {
		t.Errorf("size of z stands at %+v, want line 10, column 13", at)
	}
	got.Where, got.Inner = Where{}, nil
	want := spec{Name: "a: b", Count: 16, On: &yes, Words: []string{"10", "1.50", "yes", "02:00:00:00:00:01", "fd00::1/64", "~x"},
		Env: map[string]string{"A": "1", "B": "2"}, Wait: wait(20 * time.Millisecond), shared: shared{1400}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestProblems holds that all problems are said, each where it is.
func TestProblems(t *testing.T) {
	_, err := read(`name: [a]
coutn: 3
count: many
on: yes
wait: soon
words: one
env: []
max-mtu: 1
mtu: 1
mtu: 2
inner: {a: {sise: 1}, a: {}}
`)
	want := strings.TrimPrefix(`
f.yaml:1:7: a list stands here, and not a word
    1 | name: [a]
      |       ^
f.yaml:2:1: unknown key "coutn"; did you mean "count"?
    2 | coutn: 3
      | ^^^^^
f.yaml:3:8: "many" stands here, and not a whole number
    3 | count: many
      |        ^^^^
f.yaml:4:5: "yes" stands here, and not true or false
    4 | on: yes
      |     ^^^
f.yaml:5:7: "soon" is not a time
    5 | wait: soon
      |       ^^^^
f.yaml:6:8: "one" stands here, and not a list
    6 | words: one
      |        ^^^
f.yaml:7:6: a list stands here, and not a mapping
    7 | env: []
      |      ^
f.yaml:8:1: unknown key "max-mtu"
    8 | max-mtu: 1
      | ^^^^^^^
f.yaml:10:1: "mtu" stands twice: first in line 9
   10 | mtu: 2
      | ^^^
f.yaml:11:13: unknown key "sise"; did you mean "size"?
   11 | inner: {a: {sise: 1}, a: {}}
      |             ^^^^
f.yaml:11:23: "a" stands twice: first in line 11
   11 | inner: {a: {sise: 1}, a: {}}
      |                       ^`, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	for _, x := range []struct{ name, text, want string }{
		{"no text", "\xff\xfe\x00", "is not UTF-8"},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml:3:"},
		{"a bracket", "name: [a\n", "f.yaml:1:7"},
		{"tabs", "inner:\n\ta: {}\n", "f.yaml:2:"},
		{"no anchor", "name: *a\n", "no anchor &a"},
		{"itself", "inner: &a\n  b: *a\n", "part of itself"},
		{"deep brackets", "words: " + strings.Repeat("[", 100_000), "nested deeper"},
		{"deep brackets in lines", "words: " + strings.Repeat("[\n", 100_000), "nested deeper"},
		{"deep lists", strings.Repeat("- ", 100_000) + "x", "nested deeper"},
		{"deep keys", strings.Repeat("? ", 100_000) + "x", "nested deeper"},
		{"deep keys in brackets", "words: [" + strings.Repeat("? \n", 100_000), "nested deeper"},
		{"deep values", strings.Repeat("a: ", 100_000) + "x", "nested deeper"},
		{"deep tags", strings.Repeat("!t\n", 100_000) + "x", "nested deeper"},
		{"deep anchors", strings.Repeat("&a\n", 100_000) + "x", "nested deeper"},
		{"deep blocks", func() string {
			var b strings.Builder
			for i := range 100 {
				fmt.Fprintf(&b, "%sa:\n", strings.Repeat(" ", i))
			}
			return b.String()
		}(), "nested deeper"},
		{"laughs", func() string {
			var b strings.Builder
			b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
			for i := range 8 {
				fmt.Fprintf(&b, "a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 9), i)
			}
			return b.String()
		}(), "more than 262144 parts"},
		{"many words", "words: [" + strings.Repeat("a,\n", 600_000) + "]", "words and marks"},
		{"a long line", "words: [" + strings.Repeat("a,", 600_000) + "]", "write it on several"},
		{"large", strings.Repeat("# comment\n", 500_000), "are the most"},
	} {
		begin := time.Now()
		_, err := read(x.text)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %.300v, want %q", x.name, err, x.want)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: it took %v to refuse it", x.name, took)
		}
	}
}

// TestWhatIsNotDeep holds that what stands in quotes, ends, or stands beside each other
// on one line, does not count as nested.
func TestWhatIsNotDeep(t *testing.T) {
	for name, text := range map[string]string{
		"brackets in quotes":   "words:" + strings.Repeat("\n- \"{[\"\n- 'a ['", 1000),
		"brackets in words":    "words:" + strings.Repeat("\n- a[{", 1000),
		"JSON on one line":     `{"words": [` + strings.Repeat(`{"a": [{"b": "c"}, 1], "d": {"e": true}}, `, 2_000) + `{}]}`,
		"a list":               "words:" + strings.Repeat("\n- a: b\n  c:\n  - d\n  - e:\n      f", 1_000),
		"tags and anchors":     "words: !t &a" + strings.Repeat("\n- !t &a b", 1_000),
		"keys with a mark":     strings.Repeat("? a\n: b\n", 10),
		"a comment in between": "words: # [" + strings.Repeat("\n# [[ {{ - - ? :\n- a", 1000),
	} {
		_, err := read(text)
		if err != nil && (strings.Contains(err.Error(), "nested") || strings.Contains(err.Error(), "marks")) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// TestHowFilesBegin holds what may stand before a document, and that places are right
// after it.
func TestHowFilesBegin(t *testing.T) {
	for _, begin := range []string{"", "\ufeff", "---\n", "%YAML 1.2\n---\n", "\ufeff%YAML 1.2\n---\n"} {
		if got, err := read(begin + "name: a\n"); err != nil || got.Name != "a" {
			t.Errorf("after %q: got %q, %v, want a", begin, got.Name, err)
		}
		want := fmt.Sprintf("f.yaml:%d:1: unknown key", 1+strings.Count(begin, "\n"))
		if _, err := read(begin + "nmae: a\n"); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("after %q: got %v, want %s", begin, err, want)
		}
	}
	if _, err := read("%YAML 1.2\n---\nname: a\n---\nname: b\n"); err == nil || !strings.HasPrefix(err.Error(), "f.yaml:5:") {
		t.Errorf("two documents after a directive: got %v, want line 5", err)
	}
}

// TestNumbersAreDecimal holds that no number is read that means another one to other
// readers.
func TestNumbersAreDecimal(t *testing.T) {
	for text, want := range map[string]string{
		"010":   `f.yaml:1:8: "010" may mean 10, or 8 in octal: write 10 or 8`,
		"-010":  `"-010" may mean -10, or -8 in octal: write -10 or -8`,
		"007":   `"007" begins with a zero, as octal numbers do: write 7`,
		"08":    `"08" begins with a zero, as octal numbers do: write 8`,
		"0o10":  `"0o10" is not written in decimal: write 8`,
		"0x10":  `"0x10" is not written in decimal: write 16`,
		"1_000": `"1_000" is not written in decimal: write 1000`,
		"0x":    `"0x" stands here, and not a whole number`,
	} {
		if got, err := read("count: " + text); err == nil || !strings.Contains(err.Error(), want+"\n    1 | count: "+text) {
			t.Errorf("%s: got %d, %v, want %s", text, got.Count, err, want)
		}
	}
	for text, want := range map[string]int{"0": 0, "-1": -1, "10": 10} {
		if got, err := read("count: " + text); err != nil || got.Count != want {
			t.Errorf("%s: got %d, %v, want %d", text, got.Count, err, want)
		}
	}
}

func TestEmpty(t *testing.T) {
	for text, want := range map[string]bool{"": true, "# nothing\n": true, "~\n": true, "a: 1\n": false} {
		if got := Parse("f", []byte(text)).Empty(); got != want {
			t.Errorf("%q is empty: %t, want %t", text, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for _, x := range []struct {
		word  string
		names []string
		want  string
	}{
		{"sw3", []string{"sw1", "sw2", "router"}, `; did you mean "sw2"?`},
		{"acces", []string{"access", "trunk"}, `; did you mean "access"?`},
		{"trunck", []string{"access", "trunk"}, `; did you mean "trunk"?`},
		{"acecss", []string{"access"}, `; did you mean "access"?`},
		{"zzz", []string{"access"}, ""},
		{"p", nil, ""},
		{"h9", []string{"h1", "h2", "h3", "h4", "h5"}, `; did you mean "h5"?`},
		{"sw3", []string{"sw2", "sw4"}, `; did you mean "sw2" or "sw4"?`},
		{"x", []string{"y"}, ""},
	} {
		if got := DidYouMean(x.word, x.names); got != x.want {
			t.Errorf("%s of %v: got %q, want %q", x.word, x.names, got, x.want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"p1", "p1", 0}, {"p1", "p2", 1}, {"p1", "p10", 1}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"acecss", "access", 1},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// FuzzParse holds that nothing makes reading fail but with problems that can be
// shown, on one line for each excerpt.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"name: a\ninner: {a: {size: 1}}\n", "a: &a [*a]", "<<: {a: 1}", "? [a]\n: b", "- - - a", "a: |\n  b\n  c\n", "\ta: b", "a: 'b", "a: \"\\x\"", "%YAML 1.2\n---\na", "!!binary x", "a: b: c",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d *Document
		read := make(chan struct{})
		go func() {
			d = Parse("f", []byte(text))
			close(read)
		}()
		select {
		case <-read:
		case <-time.After(20 * time.Second):
			t.Fatal("reading takes more than 20 s")
		}
		var s spec
		d.Decode(&s)
		d.Reject(s.Of("name"), "anything")
		var e *Error
		if !errors.As(d.Err(), &e) {
			t.Fatal("no error, though something was rejected")
		}
		for _, p := range e.Problems {
			var b strings.Builder
			e.write(&b, p)
			if n := strings.Count(b.String(), "\n"); n > 2 && !strings.Contains(p.Message, "\n") {
				t.Errorf("a problem on %d lines:\n%s", n+1, b.String())
			}
		}
	})
}
