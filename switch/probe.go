package vswitch

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// A probe is a frame that a switch sends by one of its ports, to see by which it
// comes back. To all others it is a multicast that nobody has asked for, which
// bridges forward: to a locally administered group, and another one to all; with the
// first EtherType that IEEE Std 802 leaves to experiments.
// Behind that:
//
//	0  8  probeMagic
//	8  8  the switch's token, new with each daemon
//	16 8  nonce, which nobody has seen but who is behind the port
//
// A switch drops what it has sent itself, and forwards the probes of others, so that
// a loop through several switches is found, too.
const (
	probeGroup frame.Address = 0x0376_7377_6c70 // 03:76:73:77:6c:70
	probeType  uint16        = 0x88b5
	probeLen   int           = 60 // the shortest frame
)

var probeMagic = []byte("vsw-loop")

// maxForeign is how often a probe is forwarded that comes back in another VLAN than it
// was sent in: over wires that join VLANs, it may come round to its own.
const maxForeign = 16

// sentProbe is a probe under way. Workers find it by its nonce.
type sentProbe struct {
	port *Port
	vlan vlan.ID
	at   time.Time

	back    atomic.Pointer[core] // by which port it came back last; nil: by none yet
	foreign atomic.Int32         // how often it was forwarded in another VLAN
}

func newNonce() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// newProbe returns a probe to be sent, without a tag but for that of a customer; 0:
// none.
func (sw *Switch) newProbe(cvid vlan.ID, nonce uint64, toAll bool) frame.Frame {
	b := make([]byte, frame.OffloadLen, frame.OffloadLen+probeLen)
	to := probeGroup.MAC()
	if toAll {
		to = frame.Broadcast
	}
	b = append(b, to[:]...)
	b = append(b, 2) // locally administered
	b = append(b, sw.token[:5]...)
	if cvid != 0 {
		b = binary.BigEndian.AppendUint16(b, frame.TPIDCustomer)
		b = binary.BigEndian.AppendUint16(b, uint16(cvid))
	}
	b = binary.BigEndian.AppendUint16(b, probeType)
	b = append(b, probeMagic...)
	b = append(b, sw.token[:]...)
	b = binary.BigEndian.AppendUint64(b, nonce)
	var f frame.Frame
	f.Reset(b[:cap(b)], 0, frame.Offload{})
	return f
}

// recognise reports whether a frame that came in by the port, in that VLAN, is a probe
// of its switch, which goes no further, and notes by which port it came back.
func (c *core) recognise(f *frame.Frame, vid vlan.ID) bool {
	b := f.Rest()
	if len(b) > frame.TagLen && frame.IsTPID(binary.BigEndian.Uint16(b)) {
		b = b[frame.TagLen:] // a customer's
	}
	if len(b) < 26 || binary.BigEndian.Uint16(b) != probeType || !bytes.Equal(b[2:10], probeMagic) || !bytes.Equal(b[10:18], c.sw.token[:]) {
		return false
	}
	sent := c.sw.sent.Load()
	if sent == nil {
		return true
	}
	p := (*sent)[binary.BigEndian.Uint64(b[18:])]
	switch {
	case p == nil: // too late, or invented
	case p.vlan == vid:
		p.back.Store(c)
	case p.foreign.Add(1) <= maxForeign:
		return false
	}
	return true
}

// listen is recognise for a port that is lost, as one that is barred is, and takes in
// nothing else.
func (c *core) listen(policy *vlan.Policy, f *frame.Frame) bool {
	if dst, _ := f.Addresses(); dst != probeGroup && !dst.IsBroadcast() {
		return false
	}
	vid, _, r := policy.Ingress(f)
	return r == frame.Pass && c.recognise(f, vid)
}

// probe is one that is to be sent by a port.
type probe struct {
	port  *Port
	vlan  vlan.ID
	cvid  vlan.ID // of a customer's tag; 0: none
	toAll bool    // and not to its group
	frame frame.Frame
}

// sendProbes sends probes by ports that are this worker's. It runs as a task.
func (w *worker) sendProbes(all []*probe) {
	w.now, w.begun, w.limit = w.clock(), 0, maxWork
	for _, p := range all {
		out := p.port.core.view()
		if out == nil {
			continue
		}
		tag, r := out.policy.Egress(&p.frame, p.vlan, 0)
		switch {
		case r != frame.Pass:
		case out.lines[egress] != nil:
			w.carry(out.core, out.lines[egress], egress, &p.frame, tag)
		case out.peer != nil || out.device != nil && out.device.FD() >= 0:
			w.leave(out, &p.frame, tag)
		}
		if w.crossed > 0 {
			w.arrive()
		}
	}
	w.flush()
	w.work = 0
}
