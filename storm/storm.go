// Package storm limits how much broadcast, multicast and unknown unicast comes in by
// a port. It knows rates and times alone.
package storm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Class is what kind of frames a limit is for.
type Class uint8

// Classes of frames that go to more than one port.
const (
	Broadcast Class = iota
	Multicast
	Unicast // to a station that is not known

	Classes = iota
)

var classNames = [Classes]string{"bcast", "mcast", "unicast"}

func (c Class) String() string { return classNames[c] }

// Limit is how much there may be in a second, on average; zero fields do not limit.
type Limit struct {
	Frames uint64
	Bits   uint64 // of frames without their check sequence
}

// Limits are those of a port. The zero Limits let all in.
type Limits [Classes]Limit

// Parse reads words with commas between them, such as "bcast=1000pps,mcast=10mbit".
// A word without a class is for all three; "none" is no limit at all.
func Parse(s string) (l Limits, err error) {
	if s == "none" || s == "" {
		return l, nil
	}
	for _, word := range strings.Split(s, ",") {
		name, rate, named := strings.Cut(word, "=")
		if !named {
			rate = word
		}
		set, err := parseRate(rate)
		if err != nil {
			return l, fmt.Errorf("%q is no storm limit: write such as 1000pps, 10mbit or bcast=100pps, or none", word)
		}
		known := !named
		for c := range l {
			if !named || classNames[c] == name {
				known = true
				set(&l[c])
			}
		}
		if !known {
			return l, fmt.Errorf("%q is no kind of frames: write bcast, mcast or unicast", name)
		}
	}
	return l, nil
}

// units are what a rate may end with, the longer before what they end with.
var units = []struct {
	name string
	bits float64 // 0: frames
}{{"kpps", 0}, {"pps", 0}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

func parseRate(s string) (set func(*Limit), err error) {
	for _, u := range units {
		number, ok := strings.CutSuffix(strings.ToLower(s), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		factor := u.bits
		if factor == 0 {
			if factor = 1; u.name == "kpps" {
				factor = 1000
			}
		}
		n = math.Round(n * factor)
		if err != nil || !(n >= 1 && n <= 1e12) {
			return nil, fmt.Errorf("%q is no rate", s)
		}
		if u.bits == 0 {
			return func(l *Limit) { l.Frames = uint64(n) }, nil
		}
		return func(l *Limit) { l.Bits = uint64(n) }, nil
	}
	return nil, fmt.Errorf("%q is no rate", s)
}

// String returns what [Parse] reads; "" where there is no limit.
func (l Limits) String() string {
	if l[Broadcast] == l[Multicast] && l[Broadcast] == l[Unicast] {
		return strings.Join(l[Broadcast].words(""), ",")
	}
	var words []string
	for c, one := range l {
		words = append(words, one.words(classNames[c]+"=")...)
	}
	return strings.Join(words, ",")
}

func (l Limit) words(prefix string) (all []string) {
	if l.Frames > 0 {
		all = append(all, fmt.Sprintf("%s%dpps", prefix, l.Frames))
	}
	if l.Bits > 0 {
		n, unit := l.Bits, "bit"
		for _, u := range []string{"kbit", "mbit", "gbit"} {
			if n%1000 != 0 {
				break
			}
			n, unit = n/1000, u
		}
		all = append(all, fmt.Sprintf("%s%d%s", prefix, n, unit))
	}
	return all
}

// Burst is how much of a rate may come at once, in nanoseconds of it: a tenth of a
// second, as applications begin with a few frames.
const Burst = 100_000_000

// Meter measures the frames of one class against a limit, by the time until which
// what has come fills the rate (the generic cell rate algorithm, ITU-T I.371). The
// zero Meter has seen none.
type Meter struct{ frames, bits int64 } // in nanoseconds, as now is

// Take reports whether so many frames, with so many octets in all, are within the
// limit at a time in nanoseconds. Those that are not do not count.
func (m *Meter) Take(l Limit, now int64, frames, octets int) bool {
	f, b := max(m.frames, now), max(m.bits, now)
	if l.Frames > 0 && f-now > Burst || l.Bits > 0 && b-now > Burst {
		return false
	}
	if l.Frames > 0 {
		m.frames = f + int64(frames)*1_000_000_000/int64(l.Frames)
	}
	if l.Bits > 0 {
		m.bits = b + int64(octets)*8*1_000_000_000/int64(l.Bits)
	}
	return true
}
