// Package porttest holds a port in memory, for tests of the switch that need
// neither root nor a kernel device.
package porttest

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
)

// Wire is one frame as it is on the wire, with the metadata beside it.
type Wire struct {
	Bytes   []byte        // addresses to payload; without Tag where that is set
	Tag     frame.Tag     // the outermost tag, as packet sockets deliver it
	Offload frame.Offload // counts from Bytes[0]
}

// Pair is a device and the far end that a test holds. Its methods, and those
// of the device, may be called at once.
type Pair struct {
	// Capacity is how many frames wait at the far end before the device's
	// queue is full; 0 is no limit. Set it before frames flow.
	Capacity int

	mu      sync.Mutex
	event   int // an eventfd that polls readable while toSwitch holds frames
	toPort  []Wire
	fromDev []Wire
	gone    bool
	closed  bool
}

// New returns a pair.
func New() (*Pair, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Pair{event: fd}, nil
}

// Device returns the end that the switch works on.
func (p *Pair) Device() port.Device { return (*device)(p) }

// Send queues frames for the switch to receive. The bytes are copied.
func (p *Pair) Send(frames ...Wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range frames {
		w.Bytes = append([]byte(nil), w.Bytes...)
		p.toPort = append(p.toPort, w)
	}
	if !p.closed {
		p.poll()
	}
}

// Take returns what the switch sent since the last call.
func (p *Pair) Take() []Wire {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.fromDev
	p.fromDev = nil
	return got
}

// Vanish makes the device behave as one that was removed.
func (p *Pair) Vanish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	p.poll()
}

// Closed reports whether the switch has closed the device.
func (p *Pair) Closed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// poll makes the descriptor readable. The caller holds mu.
func (p *Pair) poll() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(p.event, one[:])
}

// device is the switch's view of a Pair.
type device Pair

func (d *device) FD() int { return d.event }

func (d *device) Receive(io *port.IO) ([]frame.Frame, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone || d.closed {
		return nil, port.ErrGone
	}
	n := min(len(d.toPort), port.BatchFrames)
	for i, w := range d.toPort[:n] {
		b := io.Buffer(i)
		w.Offload.Put(b)
		length := frame.OffloadLen + copy(b[frame.OffloadLen:], w.Bytes)
		io.Frame(i).Reset(b[:length], w.Tag, w.Offload)
	}
	d.toPort = d.toPort[:copy(d.toPort, d.toPort[n:])]
	if len(d.toPort) == 0 {
		var count [8]byte
		unix.Read(d.event, count[:])
	}
	return io.Batch(n), nil
}

func (d *device) Transmit(_ *port.IO, copies []port.Copy) (sent port.Sent, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range copies {
		switch {
		case d.gone || d.closed:
			sent.Failed++
			err = port.ErrGone
		case d.Capacity > 0 && len(d.fromDev) >= d.Capacity:
			sent.Full++
		default:
			w := wire(c)
			d.fromDev = append(d.fromDev, w)
			sent.Frames++
			sent.Bytes += uint64(len(w.Bytes))
		}
	}
	return sent, err
}

// wire puts a copy together as the far end sees it, all tags in the bytes.
func wire(c port.Copy) Wire {
	var head [frame.HeadLen]byte
	n := c.Frame.Head(&head, c.Tag)
	b := append([]byte(nil), head[frame.OffloadLen:n]...)
	return Wire{Bytes: append(b, c.Frame.Rest()...), Offload: frame.GetOffload(head[:])}
}

func (d *device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return unix.Close(d.event)
}
