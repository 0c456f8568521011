package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// flood measures how many 60-byte frames a second reach b while a sends as many
// as it can, with trafgen, and what the switch uses for one. The frames are for
// the station in b, which the switch has learned; its stack drops them, for
// their type is unknown.
func flood(ctx context.Context, l *link, length time.Duration) ([]reading, error) {
	from, to, err := l.addresses()
	if err != nil {
		return nil, err
	}
	octets := func(a net.HardwareAddr) string { return "0x" + strings.ReplaceAll(a.String(), ":", ",0x") }
	config := l.path("trafgen")
	text := fmt.Sprintf("{ %s, %s, 0x88, 0xb5, fill(0x00, 46) }\n", octets(to), octets(from))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	sender, _, err := l.start(l.a, "trafgen", "--dev", "eth0", "--conf", config, "--cpus", "1", "--no-sock-mem")
	if err != nil {
		return nil, err
	}
	defer end(sender)
	time.Sleep(length / 3) // until the rate is steady
	frames, err := received(l.b, "eth0")
	before, known, err2 := l.spent()
	begin := time.Now()
	time.Sleep(length)
	after, _, err3 := l.spent()
	now, err4 := received(l.b, "eth0")
	took := time.Since(begin).Seconds()
	if err := errors.Join(err, err2, err3, err4, ctx.Err()); err != nil {
		return nil, err
	}
	n := float64(now - frames)
	readings := []reading{{"60-byte frames under a flood", n / took / 1e3}}
	if known {
		readings = append(readings, reading{"processor for 60-byte frames", (after.seconds - before.seconds) / n * 1e6}, reading{"memory", after.memory})
	}
	return readings, nil
}

// addresses returns those of the two stations.
func (l *link) addresses() (a, b net.HardwareAddr, err error) {
	address := func(ns string) (net.HardwareAddr, error) {
		return inside(ns, func(h *netlink.Handle) (net.HardwareAddr, error) {
			dev, err := h.LinkByName("eth0")
			if err != nil {
				return nil, err
			}
			return dev.Attrs().HardwareAddr, nil
		})
	}
	a, err = address(l.a)
	if err == nil {
		b, err = address(l.b)
	}
	return a, b, err
}

// tolerated is the part of frames that may be lost: 0.1 %. RFC 2544 wants none
// lost, of a machine that does nothing else.
const tolerated = 0.001

// throughput searches for the highest rate of 60-byte frames of which at most
// [tolerated] are lost (RFC 2544, section 26.1), by halves.
func throughput(ctx context.Context, l *link, length time.Duration) ([]reading, error) {
	from, to, err := l.addresses()
	if err != nil {
		return nil, err
	}
	g, err := newGenerator(l.a, "eth0", to, from)
	if err != nil {
		return nil, err
	}
	defer g.close()
	count := func() (uint64, error) { return received(l.b, "eth0") }
	best, err := fewLost(ctx, g, length, count)
	if err != nil {
		return nil, err
	}
	return []reading{{"60-byte frames, under 0.1 % lost", best / 1e3}}, nil
}

// fewLost searches for the highest rate at which count says that at most
// [tolerated] of what a generator sends is lost, in frames a second.
func fewLost(ctx context.Context, g *generator, length time.Duration, count func() (uint64, error)) (float64, error) {
	// As far as it can send at all.
	sent, took, err := pace{length: length / 3}.send(ctx, g)
	if err != nil {
		return 0, err
	}
	high := float64(sent) / took.Seconds()
	best, err := search(high, func(rate float64) (rated float64, ok bool, err error) {
		// Once more where it fails: the machine may have been elsewhere.
		for range 2 {
			rated, ok, err = g.passes(ctx, pace{rate: rate, length: length / 3}, count)
			if ok || err != nil {
				break
			}
		}
		return rated, ok, err
	})
	if err == nil && best == 0 {
		err = fmt.Errorf("at any rate more than %.1f %% are lost", tolerated*100)
	}
	return best, err
}

// passes sends at a pace, and reports at which rate it did, and whether at most
// [tolerated] of it was lost.
func (g *generator) passes(ctx context.Context, p pace, count func() (uint64, error)) (rated float64, ok bool, err error) {
	before, err := count()
	if err != nil {
		return 0, false, err
	}
	sent, took, err := p.send(ctx, g)
	if err != nil {
		return 0, false, err
	}
	time.Sleep(drain)
	after, err := count()
	lost := 1 - float64(after-before)/float64(sent)
	return float64(sent) / took.Seconds(), lost <= tolerated, err
}

// drain is how long frames that are under way are waited for.
const drain = 100 * time.Millisecond

// frame returns one of 60 octets, of a type that no stack knows.
func frame(dst, src net.HardwareAddr) []byte {
	b := make([]byte, 60)
	copy(b, dst)
	copy(b[6:], src)
	b[12], b[13] = 0x88, 0xb5
	return b
}
