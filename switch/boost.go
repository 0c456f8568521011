package vswitch

import (
	"context"
	"time"

	"github.com/vswitch/vswitch/port"
)

// Ports by which many small frames come are boosted, if their device has the
// power ([port.Booster]): a worker notices, the supervisor acts. There are few
// of them at a time, because a boost takes memory, and one that has become
// quiet gives it back.

// DefaultRings is how many ports are boosted at once, unless told otherwise.
// On a machine with few processors no more can be busy at a time.
const DefaultRings = 8

// DefaultRingRate is from how many small frames a second on a port is boosted.
// Under it, receiving is no large part of what a frame costs.
const DefaultRingRate = 40_000

const (
	// calmEvery is how often boosted ports are looked at.
	calmEvery = 200 * time.Millisecond
	// calmAfter is how many times in a row a boosted port must be found quiet.
	calmAfter = 25
	// calmPart of the rate for a boost is quiet.
	calmPart = 8
)

// boost is a boosted port.
type boost struct {
	device port.Booster
	frames uint64 // that have come in by the port when it was last looked at
	quiet  int    // how many times it was found quiet
	silent bool   // none had come in since the time before
	ending bool   // frames come by the ring no more
}

// portHot is how a worker tells that a port is worth a boost. It never waits.
func (e *Engine) portHot(*core) {
	select {
	case e.heat <- struct{}{}:
	default:
	}
}

// tendBoosts gives boosts and ends them, until ctx ends.
func (e *Engine) tendBoosts(ctx context.Context) {
	tick := time.NewTicker(calmEvery)
	tick.Stop() // until there is a boost
	defer tick.Stop()
	for {
		var calm bool
		select {
		case <-ctx.Done():
			return
		case <-e.heat:
		case <-tick.C:
			calm = true
		}
		if e.begin(ctx) != nil {
			return
		}
		if calm {
			e.calm()
		}
		e.boostHot()
		if len(e.boosts) == 0 {
			tick.Stop()
		} else if !calm {
			tick.Reset(calmEvery)
		}
		e.change.Unlock()
	}
}

// boostHot boosts ports that workers have found worth it, as far as there is
// room. The caller holds e.change.
func (e *Engine) boostHot() {
	for _, p := range e.allPorts() {
		if len(e.boosts) >= e.rings {
			return
		}
		if !p.core.hot.Load() || p.attached == nil || p.unfit || e.boosts[p] != nil {
			continue
		}
		d, ok := p.attached.Device().(port.Booster)
		if !ok {
			p.unfit = true
			continue
		}
		if err := e.boost(p, d); err != nil {
			p.unfit = true
			e.log.Info("port cannot be boosted", "port", p.name(), "reason", err)
			continue
		}
		e.boosts[p] = &boost{device: d}
		e.log.Debug("port is boosted", "port", p.name())
	}
}

func (e *Engine) boost(p *Port, d port.Booster) error {
	fd, err := d.Boost()
	if err != nil {
		return err
	}
	p.worker.do(func() { err = p.worker.receiveAlso(p.attached.Device(), fd) })
	if err != nil {
		return err // the ring gets no frames, and goes with the device
	}
	return d.Shift()
}

// calm ends boosts of ports that have become quiet. The caller holds e.change.
func (e *Engine) calm() {
	for p, b := range e.boosts {
		frames := p.core.received()
		if e.isQuiet(frames - b.frames) {
			b.quiet++
		} else {
			b.quiet = 0
		}
		// What was dropped before frames ceased to come, is said after it.
		silent := frames == b.frames
		stuck := b.device.Stuck() && silent && b.silent && !b.ending
		b.frames, b.silent = frames, silent
		if stuck {
			p.unfit = true // it would be stuck again soon
			e.log.Warn("port gets frames that a receive ring cannot take, and does without from now on", "port", p.name())
		}
		if b.quiet < calmAfter && !b.ending && !stuck {
			continue
		}
		if !b.ending {
			if err := b.device.Calm(); err != nil {
				e.log.Warn("a boosted port cannot be calmed", "port", p.name(), "error", err)
				b.quiet = 0
				continue
			}
			b.ending = true
		}
		var giveBack func() error
		p.worker.do(func() {
			if giveBack = b.device.Unboost(); giveBack != nil {
				p.worker.receiveLess(p.attached.Device())
			}
		})
		if giveBack == nil {
			continue // frames wait: the next time
		}
		if err := giveBack(); err != nil {
			e.log.Warn("the memory of a boosted port cannot be given back", "port", p.name(), "error", err)
		}
		e.unboosted(p)
		e.log.Debug("port is no longer boosted", "port", p.name())
	}
}

// isQuiet reports whether so few frames came in [calmEvery] that no ring is
// worth it.
func (e *Engine) isQuiet(frames uint64) bool {
	perSecond := frames * uint64(time.Second/calmEvery)
	return perSecond*calmPart < uint64(e.ringRate)
}

// unboosted forgets that a port was boosted: the boost has ended, or its device
// takes it along. The caller holds e.change.
func (e *Engine) unboosted(p *Port) {
	delete(e.boosts, p)
	p.core.hot.Store(false)
}

// received is how many frames have come in by the port.
func (c *core) received() (n uint64) {
	for _, l := range c.lanes {
		n += l.rxFrames.Load()
	}
	return n
}
