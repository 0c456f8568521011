package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// report collects readings of all rounds.
type report struct {
	plan    *plan
	figures []figure
	systems []string // in the order in which they are shown
	rows    map[rowKey]*row
	order   []rowKey // of the rows, as they came
	begin   time.Time
}

type rowKey struct{ system, figure string }

// row is one figure of one system.
type row struct {
	readings []float64 // one a round that could be measured
	failed   int       // rounds that could not be
	reason   string    // why the last of them could not
}

func newReport(p *plan, figures []figure) *report {
	return &report{plan: p, figures: figures, rows: make(map[rowKey]*row), begin: time.Now()}
}

// add notes what a trial of figures has found, or why it has not.
func (r *report) add(system string, figures []string, readings []reading, err error) {
	if !slices.Contains(r.systems, system) {
		r.systems = append(r.systems, system)
	}
	for _, name := range figures {
		k := rowKey{system, name}
		if r.rows[k] == nil {
			r.rows[k] = new(row)
			r.order = append(r.order, k)
		}
		if err != nil {
			r.rows[k].failed++
			r.rows[k].reason = firstLine(err.Error())
		}
	}
	for _, v := range readings {
		if err == nil {
			k := rowKey{system, v.figure}
			r.rows[k].readings = append(r.rows[k].readings, v.value)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// median of readings; ok is false where there are none.
func (w *row) median() (m float64, ok bool) {
	if w == nil || len(w.readings) == 0 {
		return 0, false
	}
	return median(w.readings), true
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// ratio of a system's median to that of the figure's baseline; ok is false
// without both.
func (r *report) ratio(system string, f figure) (q float64, ok bool) {
	v, ok1 := r.rows[rowKey{system, f.name}].median()
	base, ok2 := r.rows[rowKey{f.base(), f.name}].median()
	return v / base, ok1 && ok2 && base != 0
}

// measured returns the systems that a figure is of.
func (r *report) measured(f figure) (systems []string) {
	for _, k := range r.order {
		if k.figure == f.name {
			systems = append(systems, k.system)
		}
	}
	return systems
}

// figure returns the one of that name.
func (r *report) figure(name string) figure {
	return r.figures[slices.IndexFunc(r.figures, func(f figure) bool { return f.name == name })]
}

// interrupted prints what was measured so far, and leaves files as they are.
func (r *report) interrupted(err error) error {
	r.print(os.Stdout)
	return err
}

func (r *report) write() error {
	var table strings.Builder
	if err := r.print(&table); err != nil {
		return err
	}
	fmt.Print(table.String())
	if r.plan.table != "" {
		if err := os.WriteFile(r.plan.table, []byte(table.String()), 0o644); err != nil {
			return err
		}
	}
	if r.plan.json != "" {
		if err := r.writeJSON(r.plan.json); err != nil {
			return err
		}
	}
	if r.plan.chart != "" {
		return os.WriteFile(r.plan.chart, []byte(r.drawChart()), 0o644)
	}
	return nil
}

// print prints a table for each figure.
func (r *report) print(out io.Writer) error {
	fmt.Fprintf(out, "%s, %d rounds of %v, %s\n", r.begin.Format(time.DateOnly), r.plan.rounds, r.plan.length, machine())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range r.figures {
		head := fmt.Sprintf("\n%s (%s, %s)\tMEDIAN\tLOWEST\tHIGHEST\tRATIO\n", f.name, f.unit, f.better())
		for _, s := range r.measured(f) {
			row := r.rows[rowKey{s, f.name}]
			fmt.Fprint(w, head)
			head = ""
			m, ok := row.median()
			if !ok {
				fmt.Fprintf(w, "%s\tnot measured: %s\n", s, cmp.Or(row.reason, "the kernel forwards, in the stations' time"))
				continue
			}
			ratio := ""
			if q, ok := r.ratio(s, f); ok {
				ratio = fmt.Sprintf("%.2f", q)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s", s, digits(m), digits(slices.Min(row.readings)), digits(slices.Max(row.readings)), ratio)
			if row.failed > 0 {
				fmt.Fprintf(w, "\t%d of %d rounds not measured: %s", row.failed, row.failed+len(row.readings), row.reason)
			}
			fmt.Fprintln(w)
		}
	}
	return w.Flush()
}

// digits writes a value with three significant digits, or as a whole number.
func digits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// machine says what it was measured on.
func machine() string {
	var u unix.Utsname
	unix.Uname(&u)
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%d × %s, Linux %s", runtime.NumCPU(), model, unix.ByteSliceToString(u.Release[:]))
}

// writeJSON writes all readings.
func (r *report) writeJSON(path string) error {
	type jsonRow struct {
		System   string    `json:"system"`
		Figure   string    `json:"figure"`
		Unit     string    `json:"unit"`
		Baseline string    `json:"baseline"` // a system
		Readings []float64 `json:"readings"`
		Median   *float64  `json:"median,omitempty"`
		Ratio    *float64  `json:"ratio,omitempty"`  // to Baseline
		Failed   int       `json:"failed,omitempty"` // rounds
		Reason   string    `json:"reason,omitempty"` // of the last of them
	}
	doc := struct {
		Date    string    `json:"date"`
		Machine string    `json:"machine"`
		Rounds  int       `json:"rounds"`
		Length  string    `json:"length"`
		Rows    []jsonRow `json:"rows"`
	}{r.begin.Format(time.DateOnly), machine(), r.plan.rounds, r.plan.length.String(), nil}
	for _, f := range r.figures {
		for _, s := range r.measured(f) {
			row := r.rows[rowKey{s, f.name}]
			j := jsonRow{System: s, Figure: f.name, Unit: f.unit, Baseline: f.base(), Readings: row.readings, Failed: row.failed, Reason: row.reason}
			if m, ok := row.median(); ok {
				j.Median = &m
			}
			if q, ok := r.ratio(s, f); ok {
				j.Ratio = &q
			}
			doc.Rows = append(doc.Rows, j)
		}
	}
	out, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(out, '\n'), 0o644)
}
