package vswitch

import (
	"bytes"
	"encoding/binary"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// A probe is a frame that a switch sends by one of its ports, to see by which it
// comes back. To all others it is a multicast that nobody has asked for, which
// bridges forward: to a locally administered group, with the first EtherType that
// IEEE Std 802 leaves to experiments. Behind that:
//
//	0  8  probeMagic
//	8  8  the switch's token, new with each daemon
//	16 2  VLAN in which it was sent
//	18 8  nonce, which nobody has seen but who is behind the port
//
// A switch drops what it has sent itself, and forwards the probes of others, so that
// a loop through several switches is found, too.
const (
	probeGroup frame.Address = 0x0376_7377_6c70 // 03:76:73:77:6c:70
	probeType  uint16        = 0x88b5
	probeLen   int           = 60 // the shortest frame
)

var probeMagic = []byte("vsw-loop")

// newProbe returns a probe to be sent in a VLAN, without a tag.
func (sw *Switch) newProbe(vid vlan.ID, nonce uint64) frame.Frame {
	b := make([]byte, frame.OffloadLen, frame.OffloadLen+probeLen)
	group := probeGroup.MAC()
	b = append(b, group[:]...)
	b = append(b, 2) // locally administered
	b = append(b, sw.token[:5]...)
	b = binary.BigEndian.AppendUint16(b, probeType)
	b = append(b, probeMagic...)
	b = append(b, sw.token[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(vid))
	b = binary.BigEndian.AppendUint64(b, nonce)
	var f frame.Frame
	f.Reset(b[:cap(b)], 0, frame.Offload{})
	return f
}

// recognise reports whether a frame to [probeGroup] that came in by the port, in that
// VLAN, is a probe of its switch, and keeps it for the guard. One that has changed
// VLANs says nothing of a loop.
func (c *core) recognise(f *frame.Frame, vid vlan.ID) bool {
	b := f.Rest()
	if len(b) < 28 || binary.BigEndian.Uint16(b) != probeType || !bytes.Equal(b[2:10], probeMagic) || !bytes.Equal(b[10:18], c.sw.token[:]) {
		return false
	}
	if vlan.ID(binary.BigEndian.Uint16(b[18:])) == vid {
		c.returned.Store(binary.BigEndian.Uint64(b[20:]))
	}
	return true
}

// listen is recognise for a port that is not up, and takes in nothing else.
func (c *core) listen(policy *vlan.Policy, f *frame.Frame) bool {
	if dst, _ := f.Addresses(); dst != probeGroup {
		return false
	}
	vid, _, r := policy.Ingress(f)
	return r == frame.Pass && c.recognise(f, vid)
}

// probe is one that is to be sent by a port.
type probe struct {
	port  *Port
	vlan  vlan.ID
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
