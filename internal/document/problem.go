package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Place is where in a file something stands. The zero Place is nowhere.
type Place struct {
	Line, Column int // from 1
	Width        int // characters
}

// Problem is something that is wrong at a place.
type Problem struct {
	Place
	Message string
}

// Error is all that is wrong with a file.
type Error struct {
	File     string
	Problems []Problem // by their places
	lines    []string
}

// Error says each problem with its excerpt.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("\n")
		}
		if i == mostShown {
			fmt.Fprintf(&b, "%s: and %d more problems", e.File, len(e.Problems)-i)
			break
		}
		e.write(&b, p)
	}
	return b.String()
}

// mostShown is how many problems are shown: with more, it is one that counts.
const mostShown = 40

func (e *Error) write(b *strings.Builder, p Problem) {
	if p.Line == 0 {
		fmt.Fprintf(b, "%s: %s", e.File, p.Message)
		return
	}
	fmt.Fprintf(b, "%s:%d:%d: %s", e.File, p.Line, p.Column, p.Message)
	if p.Line > len(e.lines) {
		return
	}
	line, column := excerpt(e.lines[p.Line-1], p.Column)
	margin := fmt.Sprintf("%5d | ", p.Line)
	pointer := strings.Repeat("^", max(1, min(p.Width, utf8.RuneCountInString(line)-column+1)))
	fmt.Fprintf(b, "\n%s%s\n%*s%s%s", margin, line, len(margin), "| ", strings.Repeat(" ", column-1), pointer)
}

// longest is how much of a line is shown, in characters.
const longest = 120

// excerpt returns a line as it can be shown, and the column that p has in it.
func excerpt(line string, column int) (string, int) {
	runes := []rune(line)
	for i, r := range runes {
		if r < ' ' || r == 0x7f {
			runes[i] = ' ' // a tab, or what would do something to a terminal
		}
	}
	if column > longest*2/3 {
		cut := min(column-longest/2, len(runes))
		runes = append([]rune("…"), runes[cut:]...)
		column -= cut - 1
	}
	if len(runes) > longest {
		runes = append(runes[:longest], '…')
	}
	return strings.TrimRight(string(runes), " "), max(column, 1)
}

// Reject notes that something is wrong at a place.
func (d *Document) Reject(at Place, format string, args ...any) {
	p := Problem{at, fmt.Sprintf(format, args...)}
	if !slices.Contains(d.problems, p) { // an alias is read more than once
		d.problems = append(d.problems, p)
	}
}

// Err returns all that was found wrong, as an *[Error]; nil: nothing.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	sorted := slices.Clone(d.problems)
	slices.SortStableFunc(sorted, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{d.name, sorted, d.lines}
}

// RejectIn notes that something in a mapping is wrong: at the key that the message
// begins with, or the value that it has, or another key that it names, or else at
// the whole.
func (d *Document) RejectIn(w *Where, message string) {
	words := strings.FieldsFunc(message, func(r rune) bool { return strings.ContainsRune(" ,;:\"`'", r) })
	if len(words) > 0 && w.Has(words[0]) {
		d.Reject(w.Of(words[0]), "%s", message)
		return
	}
	said := make(map[string]bool)
	for _, word := range words {
		said[word] = true
	}
	keys := w.Keys()
	slices.Sort(keys)
	at := w.Place()
	for _, key := range keys {
		if said[key] || said[strings.ReplaceAll(key, "_", "-")] || said[key+"s"] {
			at = w.Of(key)
		}
	}
	longest := 0
	for _, key := range keys {
		if text := d.textAt(w.Of(key)); said[text] && len(text) > longest {
			at, longest = w.Of(key), len(text)
		}
	}
	d.Reject(at, "%s", message)
}

// textAt returns what stands at a place.
func (d *Document) textAt(p Place) string {
	if p.Line < 1 || p.Line > len(d.lines) {
		return ""
	}
	line := []rune(d.lines[p.Line-1])
	from := min(max(p.Column-1, 0), len(line))
	return strings.Trim(string(line[from:min(from+p.Width, len(line))]), "\"'")
}
