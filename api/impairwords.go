package api

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ImpairmentWords are the words that [ParseImpairment] knows, in the order in
// which String writes them, each with what follows it.
var ImpairmentWords = []struct{ Name, Value, Help string }{
	{"delay", "TIME", "of each frame: 20ms"},
	{"jitter", "TIME", "how far delays lie from that"},
	{"distribution", "NAME", "of jitter: normal, uniform or pareto"},
	{"in-order", "", "jitter lets no frame overtake another"},
	{"loss", "PERCENT", "of frames: 0.1%"},
	{"loss-burst", "FRAMES", "how long a burst of losses is"},
	{"loss-in-burst", "PERCENT", "of a burst's frames"},
	{"loss-between-bursts", "PERCENT", "of the frames between bursts"},
	{"duplicate", "PERCENT", "come twice"},
	{"reorder", "PERCENT", "are spared the delay, and overtake"},
	{"corrupt", "PERCENT", "have one bit turned over"},
	{"rate", "RATE", "bits a second: 100mbit"},
	{"queue", "LENGTH", "what waits for the rate: 100 frames, 64kB, 50ms"},
	{"seed", "NUMBER", "makes what is random the same each time"},
}

// String writes the words that [ParseImpairment] reads.
func (i *Impairment) String() string {
	var words []string
	say := func(name string, asked bool, value string) {
		if asked {
			words = append(words, strings.TrimSpace(name+" "+value))
		}
	}
	say("delay", i.Delay != 0, formatTime(i.Delay))
	say("jitter", i.Jitter != 0, formatTime(i.Jitter))
	say("distribution", i.Distribution != "", i.Distribution)
	say("in-order", i.InOrder, "")
	say("loss", i.Loss != 0, formatPercent(i.Loss))
	say("loss-burst", i.LossBurst != 0, formatNumber(i.LossBurst))
	say("loss-in-burst", i.LossInBurst != 0, formatPercent(i.LossInBurst))
	say("loss-between-bursts", i.LossBetween != 0, formatPercent(i.LossBetween))
	say("duplicate", i.Duplicate != 0, formatPercent(i.Duplicate))
	say("reorder", i.Reorder != 0, formatPercent(i.Reorder))
	say("corrupt", i.Corrupt != 0, formatPercent(i.Corrupt))
	say("rate", i.Rate != 0, FormatRate(i.Rate))
	say("queue", i.QueueFrames != 0, strconv.Itoa(i.QueueFrames))
	say("queue", i.QueueBytes != 0, formatBytes(i.QueueBytes))
	say("seed", i.Seed != 0, strconv.FormatUint(i.Seed, 10))
	return strings.Join(words, " ")
}

// ParseImpairment reads words such as "delay", "20ms", "loss", "0.1%". "none"
// alone ends whatever there is. Whether the values are possible, the daemon says.
func ParseImpairment(words []string) (*ImpairmentSpec, error) {
	spec := new(ImpairmentSpec)
	if len(words) == 1 && words[0] == "none" {
		spec.Replace = true
		return spec, nil
	}
	var queue string
	for len(words) > 0 {
		name := words[0]
		if name == "in-order" {
			spec.InOrder = ref(true)
			words = words[1:]
			continue
		}
		if !isImpairmentWord(name) {
			return nil, Errorf(Invalid, "%q is nothing that a line does to frames: say %s", name, impairmentNames())
		}
		if len(words) == 1 {
			return nil, Errorf(Invalid, "%s: its value is missing", name)
		}
		if name == "queue" {
			queue = words[1]
		} else if err := spec.set(name, words[1]); err != nil {
			return nil, Errorf(Invalid, "%s: %v", name, err)
		}
		words = words[2:]
	}
	if queue != "" {
		if err := spec.setQueue(queue); err != nil {
			return nil, Errorf(Invalid, "queue: %v", err)
		}
	}
	return spec, nil
}

func isImpairmentWord(name string) bool {
	for _, w := range ImpairmentWords {
		if w.Name == name {
			return true
		}
	}
	return false
}

func impairmentNames() string {
	var names []string
	for _, w := range ImpairmentWords {
		names = append(names, w.Name)
	}
	return strings.Join(names, ", ") + "; or none"
}

// set reads the value of any word but queue and in-order.
func (s *ImpairmentSpec) set(name, value string) (err error) {
	switch name {
	case "delay":
		s.Delay, err = parseTime(value)
	case "jitter":
		s.Jitter, err = parseTime(value)
	case "distribution":
		s.Distribution = &value
	case "loss":
		s.Loss, err = parsePercent(value)
	case "loss-burst":
		s.LossBurst, err = parseNumber(value)
	case "loss-in-burst":
		s.LossInBurst, err = parsePercent(value)
	case "loss-between-bursts":
		s.LossBetween, err = parsePercent(value)
	case "duplicate":
		s.Duplicate, err = parsePercent(value)
	case "reorder":
		s.Reorder, err = parsePercent(value)
	case "corrupt":
		s.Corrupt, err = parsePercent(value)
	case "rate":
		s.Rate, err = ParseRate(value)
	case "seed":
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 64); err != nil {
			err = fmt.Errorf("%q is no whole number from 0 on", value)
		}
		s.Seed = &n
	}
	return err
}

// setQueue reads a number of frames, of octets, or the time that they take at the
// rate beside it.
func (s *ImpairmentSpec) setQueue(value string) error {
	s.QueueFrames, s.QueueBytes = ref(0), ref(0)
	if n, err := strconv.Atoi(value); err == nil {
		s.QueueFrames = &n
		return nil
	}
	if n, ok := parseBytes(value); ok {
		s.QueueBytes = &n
		return nil
	}
	d, err := time.ParseDuration(value)
	switch {
	case err != nil:
		return fmt.Errorf("%q is neither a number of frames, such as 100, nor of octets, such as 64kB, nor a time, such as 50ms", value)
	case s.Rate == nil || *s.Rate == 0:
		return fmt.Errorf("a length in time, such as %s, needs the rate beside it: rate 10mbit queue %s", value, value)
	}
	octets := d.Seconds() * float64(*s.Rate) / 8
	if !(octets >= 1 && octets < math.MaxInt32) {
		return fmt.Errorf("%s at %s are %.0f octets, which is not possible", value, FormatRate(*s.Rate), octets)
	}
	s.QueueBytes = ref(int(octets))
	return nil
}

func ref[T any](v T) *T { return &v }

func parseTime(s string) (*float64, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return nil, fmt.Errorf("%q is not a time: write such as 20ms, 1.5s or 500us", s)
	}
	return ref(d.Seconds()), nil
}

// formatTime writes seconds to the nanosecond.
func formatTime(seconds float64) string {
	return time.Duration(math.Round(seconds * float64(time.Second))).String()
}

// parsePercent wants the sign: people mean different things without it.
func parsePercent(s string) (*float64, error) {
	digits, sign := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil || !sign && v != 0 {
		return nil, fmt.Errorf("%q is not a percentage: write such as 0.1%%", s)
	}
	return &v, nil
}

func formatPercent(v float64) string { return formatNumber(v) + "%" }

func parseNumber(s string) (*float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is not a number", s)
	}
	return &v, nil
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// rateUnits are decimal, as everywhere on networks.
var rateUnits = []struct {
	name string
	bits float64
}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// ParseRate reads bits a second: "100mbit", "1.5gbit", "64kbit"; "0" is no limit.
func ParseRate(s string) (*uint64, error) {
	word := strings.TrimSuffix(strings.ToLower(s), "/s")
	if word == "0" {
		return ref(uint64(0)), nil
	}
	for _, u := range rateUnits {
		digits, ok := strings.CutSuffix(word, u.name)
		if !ok {
			continue
		}
		if v, err := strconv.ParseFloat(digits, 64); err == nil && v*u.bits >= 0 && v*u.bits < 1e15 {
			return ref(uint64(math.Round(v * u.bits))), nil
		}
		break
	}
	return nil, fmt.Errorf("%q is not a rate: write such as 100mbit, 1.5gbit or 64kbit", s)
}

// FormatRate writes what [ParseRate] reads.
func FormatRate(bits uint64) string {
	for _, u := range rateUnits {
		if v := float64(bits) / u.bits; v >= 1 {
			return strconv.FormatFloat(v, 'f', -1, 64) + u.name
		}
	}
	return "0"
}

// byteUnits are decimal with the prefix alone, binary with an i.
var byteUnits = []struct {
	name   string
	octets float64
}{{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1}}

func parseBytes(s string) (int, bool) {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(digits, 64)
		return int(v * u.octets), err == nil && v*u.octets >= 0 && v*u.octets < math.MaxInt32
	}
	return 0, false
}

func formatBytes(n int) string {
	for _, u := range byteUnits {
		if v := float64(n) / u.octets; v >= 1 && v == math.Trunc(v) {
			return strconv.FormatFloat(v, 'f', -1, 64) + u.name
		}
	}
	return strconv.Itoa(n) + "B"
}
