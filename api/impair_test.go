package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// applied is what a spec makes of nothing.
func applied(s *ImpairmentSpec) (i Impairment) {
	b, _ := json.Marshal(s) // of plain fields
	_ = json.Unmarshal(b, &i)
	return i
}

func TestParseImpairment(t *testing.T) {
	for _, x := range []struct {
		words string
		want  Impairment
	}{
		{"delay 20ms jitter 500us", Impairment{Delay: 0.02, Jitter: 0.0005}},
		{"delay 1.5s distribution uniform in-order", Impairment{Delay: 1.5, Distribution: Uniform, InOrder: true}},
		{"loss 0.1% loss-burst 12.5 loss-in-burst 80% loss-between-bursts 0.01%", Impairment{Loss: 0.1, LossBurst: 12.5, LossInBurst: 80, LossBetween: 0.01}},
		{"rate 10mbit queue 50ms", Impairment{Rate: 10_000_000, QueueBytes: 62_500}},
		{"queue 50ms rate 10mbit", Impairment{Rate: 10_000_000, QueueBytes: 62_500}},
		{"queue 50ms rate 10Mbit/s", Impairment{Rate: 10_000_000, QueueBytes: 62_500}},
		{"queue 100 rate 1.5gbit", Impairment{Rate: 1_500_000_000, QueueFrames: 100}},
		{"queue 64KiB", Impairment{QueueBytes: 65_536}},
		{"queue 64kB", Impairment{QueueBytes: 64_000}},
		{"loss 0 delay 0 rate 0", Impairment{}},
		{"seed 18446744073709551615", Impairment{Seed: 1<<64 - 1}},
	} {
		spec, err := ParseImpairment(strings.Fields(x.words))
		if err != nil {
			t.Errorf("%s: %v", x.words, err)
			continue
		}
		if got := applied(spec); got != x.want || spec.Replace {
			t.Errorf("%s: got %+v, want %+v", x.words, got, x.want)
		}
	}
	if spec, err := ParseImpairment([]string{"none"}); err != nil || *spec != (ImpairmentSpec{Replace: true}) {
		t.Errorf("none: %+v, %v", spec, err)
	}
}

func TestParseImpairmentRefuses(t *testing.T) {
	for words, want := range map[string]string{
		"delay":              "value is missing",
		"slow 5ms":           `"slow" is nothing that a line does`,
		"delay -5ms":         "is not a time",
		"loss 1":             "is not a percentage",
		"loss x%":            "is not a percentage",
		"loss-burst many":    "is not a number",
		"rate 100":           "is not a rate",
		"rate 100mbps":       "is not a rate",
		"rate -1mbit":        "is not a rate",
		"rate 1e99gbit":      "is not a rate",
		"queue 5x":           "neither a number of frames",
		"queue 5ms":          "needs the rate beside it",
		"rate 1bit queue 0s": "not possible",
		"seed -1":            "whole number",
		"none delay 5ms":     `"none" is nothing`,
	} {
		if _, err := ParseImpairment(strings.Fields(words)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

func TestImpairmentsInWords(t *testing.T) {
	slow, lossy := &Impairment{Delay: 0.02, Rate: 100_000_000}, &Impairment{Loss: 1.5}
	for want, i := range map[string]Impairments{
		"":                                  {},
		"both ways delay 20ms rate 100mbit": {slow, &Impairment{Delay: 0.02, Rate: 100_000_000}},
		"egress delay 20ms rate 100mbit":    {Egress: slow},
		"ingress loss 1.5%":                 {Ingress: lossy},
		"egress loss 1.5%, ingress delay 20ms rate 100mbit": {lossy, slow},
	} {
		if got := i.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzImpairment holds that whatever is read can be written and read again.
func FuzzImpairment(f *testing.F) {
	f.Add("delay 20ms jitter 2ms distribution pareto in-order loss 0.1% loss-burst 5 rate 1.5gbit queue 64kB seed 3")
	f.Add("none")
	f.Add("queue 50ms rate 10mbit corrupt 1e-3% duplicate 99.9% reorder 5%")
	f.Fuzz(func(t *testing.T, words string) {
		spec, err := ParseImpairment(strings.Fields(words))
		if err != nil || spec.Replace {
			return
		}
		first := applied(spec)
		text := first.String()
		again, err := ParseImpairment(strings.Fields(text))
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", words, text, err)
		}
		if second := applied(again); second.String() != text {
			t.Fatalf("%q is written as %q, and then as %q", words, text, second.String())
		}
	})
}
