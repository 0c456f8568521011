package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// table is aligned columns with a header. Columns of numbers are aligned at
// the right.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write pads the columns named and writes the table.
func (t *table) write(w io.Writer, right ...string) error {
	rows := append([][]string{t.header}, t.rows...)
	for i, name := range t.header {
		if slices.Contains(right, name) {
			alignRight(rows, i)
		}
	}
	// Empty cells are padded, too, also at the end of a line, where nobody
	// wants the spaces.
	var padded strings.Builder
	tw := tabwriter.NewWriter(&padded, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(padded.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func alignRight(rows [][]string, column int) {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[column]))
	}
	for _, r := range rows {
		r[column] = strings.Repeat(" ", width-utf8.RuneCountInString(r[column])) + r[column]
	}
}

// fields are lines of a name and a value, below a title.
type fields struct{ rows [][2]string }

// add adds a line, unless there is nothing to say.
func (f *fields) add(name string, value any) {
	if s := fmt.Sprint(value); s != "" {
		f.rows = append(f.rows, [2]string{name, s})
	}
}

func (f *fields) write(w io.Writer, title string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, title)
	for _, r := range f.rows {
		fmt.Fprintf(tw, "  %s\t%s\n", r[0], r[1])
	}
	return tw.Flush()
}

// orDash stands for a cell that would be empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// shorten cuts s to n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// brief writes a number in five characters at the most.
func brief(n uint64) string {
	if n < 10000 {
		return strconv.FormatUint(n, 10)
	}
	v := float64(n)
	for _, unit := range "kMGTPE" {
		v /= 1000
		switch {
		case v < 9.995:
			return fmt.Sprintf("%.2f%c", v, unit)
		case v < 99.95:
			return fmt.Sprintf("%.1f%c", v, unit)
		case v < 999.5:
			return fmt.Sprintf("%.0f%c", v, unit)
		}
	}
	return fmt.Sprintf("%.0fE", v)
}
