package main

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func testReport() *report {
	r := newReport(&plan{rounds: 3, length: time.Second}, figures)
	stream, took := []string{"TCP, one stream"}, []string{"latency p50"}
	for _, gbits := range []float64{10, 30, 20} {
		r.add(baseline, stream, []reading{{stream[0], gbits}}, nil)
	}
	r.add("vswitch, veth–veth", stream, []reading{{stream[0], 10}}, nil)
	r.add("vswitch, veth–veth", stream, []reading{{stream[0], 20}}, nil)
	r.add("vswitch, veth–veth", stream, nil, errors.New("the stream broke\nwith details"))
	r.add("VDE", stream, nil, errors.New("vde_switch is not installed"))
	r.add(baseline, took, []reading{{took[0], 50}}, nil)
	return r
}

func TestMedian(t *testing.T) {
	for _, x := range []struct {
		v    []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 9, 2}, 3}} {
		was := slices.Clone(x.v)
		if got := median(x.v); got != x.want || !slices.Equal(x.v, was) {
			t.Errorf("median(%v) = %v, want %v, and the readings as they were", was, got, x.want)
		}
	}
}

// TestTable holds that medians, ratios and the spread are shown, and that
// whatever was not measured says why: all rounds of a row, or some.
func TestTable(t *testing.T) {
	var b strings.Builder
	if err := testReport().print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Linux bridge +20 +10 +30 +1\.00 *\n`,
		`vswitch, veth–veth +15 +10 +20 +0\.75 +1 of 3 rounds not measured: the stream broke\n`,
		`VDE +not measured: vde_switch is not installed\n`,
		`latency p50 \(µs, less is better\)`,
	} {
		if !regexp.MustCompile(want).MatchString(b.String()) {
			t.Errorf("no %q in the table:\n%s", want, b.String())
		}
	}
}

// TestChart holds that each figure of the chart is one that is measured, and
// that a system without it says so.
func TestChart(t *testing.T) {
	chart := testReport().drawChart()
	for _, want := range []string{"VDE", "0.75", "not measured", "TCP, one stream", "</svg>"} {
		if !strings.Contains(chart, want) {
			t.Errorf("no %q in the chart:\n%s", want, chart)
		}
	}
}

func TestPercentiles(t *testing.T) {
	const out = `sockperf: ---> <MAX> observation =  338.441
sockperf: ---> percentile 99.999 =  338.441
sockperf: ---> percentile 99.900 =   91.203
sockperf: ---> percentile 99.000 =   41.811
sockperf: ---> percentile 90.000 =   31.100
sockperf: ---> percentile 50.000 =   22.054
sockperf: ---> <MIN> observation =    9.117
`
	got, err := percentiles(out, " beside")
	want := []reading{{"latency p50 beside", 22.054}, {"latency p99 beside", 41.811}, {"latency p99.9 beside", 91.203}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := percentiles("sockperf: No valid observations found.\n", ""); err == nil || !strings.Contains(err.Error(), "No valid observations") {
		t.Errorf("of no observations: %v", err)
	}
}

func TestSearch(t *testing.T) {
	for _, limit := range []float64{100, 640, 999, 5000} {
		best, err := search(1000, func(rate float64) (float64, bool, error) { return rate, rate <= limit, nil })
		if want := min(limit, 1000); err != nil || best > want || best < want-1000.0/256-1 {
			t.Errorf("search finds %v, %v where all is well up to %v", best, err, limit)
		}
	}
	broken := errors.New("broken")
	if _, err := search(1, func(float64) (float64, bool, error) { return 0, false, broken }); !errors.Is(err, broken) {
		t.Errorf("an error of the trial: got %v", err)
	}
}

func TestChosen(t *testing.T) {
	got, err := chosen(allTrials, trial.title, "-trials", regexp.MustCompile("^tcp"))
	if err != nil || len(got) != 2 || len(allTrials) < 8 {
		t.Errorf("^tcp chooses %v, %v", names(got, trial.title), err)
	}
	_, err = chosen(allTrials, trial.title, "-trials", regexp.MustCompile("nosuch"))
	if err == nil || !strings.Contains(err.Error(), `"nosuch" matches none of: tcp; cubic; `) {
		t.Errorf("nosuch: %v", err)
	}
}

// TestEveryFigureIsShown holds that what trials find has a place in the report,
// and that figures are compared with a system that is measured.
func TestEveryFigureIsShown(t *testing.T) {
	known := func(all []figure, name string) bool {
		return slices.ContainsFunc(all, func(f figure) bool { return f.name == name })
	}
	for _, tr := range allTrials {
		for _, name := range tr.figures {
			if !known(figures, name) {
				t.Errorf("trial %s: figure %q is not shown", tr.name, name)
			}
		}
	}
	asked := names(inquiries(), inquiry.system)
	for _, q := range inquiries() {
		for _, name := range q.figures {
			if !known(inquired, name) {
				t.Errorf("inquiry %s: figure %q is not shown", q.topic, name)
			}
		}
	}
	for _, f := range inquired {
		if !slices.Contains(asked, f.baseline) {
			t.Errorf("figure %s is compared with %q, which is not asked", f.name, f.baseline)
		}
	}
	for _, name := range charted {
		if !known(figures, name) {
			t.Errorf("the chart has %q, which is not measured", name)
		}
	}
}

func TestPlanIsChecked(t *testing.T) {
	good := func() *plan { return &plan{rounds: 1, length: time.Second} }
	for _, x := range []struct {
		change func(*plan)
		args   []string
		want   string
	}{
		{func(*plan) {}, []string{"x"}, `"x" is no flag`},
		{func(p *plan) { p.rounds = 0 }, nil, "-rounds 0 is not possible"},
		{func(p *plan) { p.length = time.Millisecond }, nil, "-length 1ms is not possible"},
		{func(p *plan) { p.rfc2889, p.variants = true, true }, nil, "give one"},
		{func(p *plan) { p.rfc2889, p.chart = true, "x" }, nil, "no chart"},
	} {
		p := good()
		x.change(p)
		if err := p.check(x.args); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v, want %q", p, err, x.want)
		}
	}
}
