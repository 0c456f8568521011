package frame

import (
	"bytes"
	"encoding/binary"
)

// lookBack bounds how many places a frame is moved forward by [Resequence], and
// with it what a batch of many connections costs.
const lookBack = 16

// Resequence moves frames of a TCP connection that were overtaken to where
// their sequence numbers belong, at most [lookBack] places forward. All other
// frames keep their order. It looks only at frames that come right from a
// stack, whose checksum is not computed yet.
//
// A stack sends some of a connection's frames from the processor whose program
// writes, and some from the one that takes in acknowledgements, and in front of
// a veth's peer each processor has a queue of its own (netif_rx in Linux's
// net/core/dev.c). TCP takes what comes early for a sign that something is
// lost, sends that again, and loses its speed. What overtook mostly waits
// together with what it overtook.
func Resequence(frames []Frame) {
	for i := 1; i < len(frames); i++ {
		connection, seq, ok := frames[i].stream()
		if !ok {
			continue
		}
		to := i
		for j := i - 1; j >= max(i-lookBack, 0); j-- {
			other, before, ok := frames[j].stream()
			if !ok || !bytes.Equal(connection, other) {
				continue
			}
			if int32(seq-before) >= 0 { // RFC 9293, section 3.4
				break
			}
			to = j
		}
		if to < i {
			late := frames[i]
			copy(frames[to+1:i+1], frames[to:i])
			frames[to] = late
		}
	}
}

// stream returns addresses and ports of a TCP segment, or super-frame, whose
// checksum is not computed yet, and its sequence number. It looks behind IPv4
// without options and IPv6 without extension headers, which is how stacks send
// data. The frame need not have passed [Frame.Check].
func (f *Frame) stream() (connection []byte, seq uint32, ok bool) {
	const ports, number = 4, 8 // end of both in the header
	data, l4 := f.Data(), int(f.off.CsumStart)
	if f.off.Flags&NeedsCsum == 0 || f.off.CsumOffset != tcpChecksum || l4+number > len(data) {
		return nil, 0, false
	}
	follows := func(header, etherType, addresses int) bool {
		at := l4 - header - TypeLen
		if at < AddrLen || int(binary.BigEndian.Uint16(data[at:])) != etherType {
			return false
		}
		connection = data[l4-addresses : l4+ports]
		return true
	}
	if !follows(ipv4Len, typeIPv4, 2*4) && !follows(ipv6Len, typeIPv6, 2*16) {
		return nil, 0, false
	}
	return connection, binary.BigEndian.Uint32(data[l4+ports:]), true
}
