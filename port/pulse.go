package port

import (
	"sync"
	"time"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// pulseEvery is how often carriers are felt: a guest that was killed is lost
// within a second, whoever else's carrier the kernel is busy with.
const pulseEvery = 400 * time.Millisecond

// pulse feels the carrier of devices whose far end is a program's, such as a
// VM monitor's TAP. Netlink tells of their end too, but up to a second later
// (see rtnl.CarrierProbe). While there are no such devices it sleeps.
type pulse struct {
	probe *rtnl.CarrierProbe
	post  func(...Key)
	stop  chan struct{}
	first chan struct{} // holds one token when a device was added to none
	wg    sync.WaitGroup

	mu      sync.Mutex
	carrier map[int]bool // by index, as it was last felt
}

func newPulse(post func(...Key)) (*pulse, error) {
	probe, err := rtnl.NewCarrierProbe()
	if err != nil {
		return nil, err
	}
	p := &pulse{
		probe:   probe,
		post:    post,
		stop:    make(chan struct{}),
		first:   make(chan struct{}, 1),
		carrier: make(map[int]bool),
	}
	p.wg.Go(p.run)
	return p, nil
}

func (p *pulse) close() error {
	close(p.stop)
	p.wg.Wait()
	return p.probe.Close()
}

func (p *pulse) add(index int) {
	p.mu.Lock()
	p.carrier[index], _ = p.probe.Carrier(index)
	p.mu.Unlock()
	select {
	case p.first <- struct{}{}:
	default:
	}
}

func (p *pulse) remove(index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.carrier, index)
}

// run feels until stop.
func (p *pulse) run() {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-p.first:
			tick.Reset(pulseEvery)
		case <-tick.C:
			if p.feel() == 0 {
				tick.Stop()
			}
		}
	}
}

// feel posts the devices whose carrier has changed, and returns how many
// devices there are.
func (p *pulse) feel() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for index, was := range p.carrier {
		now, err := p.probe.Carrier(index)
		if err == nil && now != was {
			p.carrier[index] = now
			p.post(linkKey(rtnl.Here, index))
		}
	}
	return len(p.carrier)
}
