package main

import (
	"context"
	"runtime"
	"time"
)

// pace is how fast frames are sent.
type pace struct {
	rate   float64       // frames a second; 0: as many as can be sent
	frames uint64        // that many; 0: as many as fit the length
	length time.Duration // 0: as long as it takes
}

// behind is what a sender that was held up catches up with, in time: as a queue
// on the way would.
const behind = time.Millisecond

// send makes generators send, in turns, and returns how many frames they have
// sent in which time.
func (p pace) send(ctx context.Context, generators ...*generator) (sent uint64, took time.Duration, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := time.Now()
	due := begin // when the next frame is to go
	turn := 0
	for now := begin; ctx.Err() == nil; now = time.Now() {
		if p.length > 0 && now.Sub(begin) >= p.length || p.frames > 0 && sent >= p.frames {
			break
		}
		n := burst
		if p.frames > 0 {
			n = int(min(p.frames-sent, burst))
		}
		if p.rate > 0 {
			if now.Sub(due) > behind {
				due = now.Add(-behind)
			}
			if n = min(int(now.Sub(due).Seconds()*p.rate), n); n == 0 {
				continue // without sleeping, which would take too long
			}
			due = due.Add(time.Duration(float64(n) / p.rate * 1e9))
		}
		done, err := generators[turn%len(generators)].burst(n)
		if err != nil {
			return sent, 0, err
		}
		sent += done
		turn++
	}
	return sent, time.Since(begin), ctx.Err()
}

// search looks for the highest rate up to high at which try says that all is
// well, by halves: 0 if there is none.
func search(high float64, try func(rate float64) (rated float64, ok bool, err error)) (best float64, err error) {
	const steps = 8
	low := 0.0
	for range steps {
		rate := (low + high) / 2
		rated, ok, err := try(rate)
		if err != nil {
			return 0, err
		}
		if ok {
			low, best = rate, max(best, rated)
		} else {
			high = rate
		}
	}
	return best, nil
}
