package frame

import "encoding/binary"

// OffloadLen is the length of a virtio-net header without num_buffers
// (struct virtio_net_hdr in linux/virtio_net.h). TAPs and packet sockets
// speak it in the machine's byte order.
const OffloadLen = 10

// Flags of an [Offload].
const (
	NeedsCsum = 1 // the checksum at CsumStart+CsumOffset covers only the pseudo header yet
	DataValid = 2 // the checksum was verified; a hint that the kernel does not want back
)

// GSO types of an [Offload].
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
	GSOUDPL4 = 5
	GSOECN   = 0x80 // may be or-ed to a TCP type
)

// minGSOSize is below every MSS that a sane stack uses (Linux: TCP_MIN_SND_MSS
// is 48 with options, TCP_MIN_GSO_SIZE 64); less would make one super-frame
// into thousands.
const minGSOSize = 64

// maxCsumStart leaves room for the tags that a frame can gain on its way.
const maxCsumStart = 1<<16 - 1 - (MaxBeside+1)*TagLen

// Offload is a virtio-net header: what of the frame is left for the receiver
// (or its hardware) to do. Its offsets count from the first octet of the frame
// as it was received.
type Offload struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // a hint: octets to keep together when segmenting
	GSOSize    uint16 // payload octets a segment
	CsumStart  uint16
	CsumOffset uint16
}

// Unusable is an offload header that no frame passes [Frame.Check] with.
var Unusable = Offload{GSOType: 0xff}

// GetOffload reads a header from the first OffloadLen octets of b.
func GetOffload(b []byte) Offload {
	_ = b[OffloadLen-1]
	return Offload{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.NativeEndian.Uint16(b[2:]),
		GSOSize:    binary.NativeEndian.Uint16(b[4:]),
		CsumStart:  binary.NativeEndian.Uint16(b[6:]),
		CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

// Put writes the header to the first OffloadLen octets of b.
func (o Offload) Put(b []byte) {
	_ = b[OffloadLen-1]
	b[0] = o.Flags
	b[1] = o.GSOType
	binary.NativeEndian.PutUint16(b[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(b[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], o.CsumOffset)
}

// l4proto returns the IP protocol that a super-frame's type is about.
func (o Offload) l4proto() uint8 {
	if o.GSOType == GSOUDPL4 {
		return protoUDP
	}
	return protoTCP
}

// l4checksum returns where in layer 4 a super-frame's type has the checksum.
func (o Offload) l4checksum() int {
	if o.GSOType == GSOUDPL4 {
		return 6
	}
	return tcpChecksum
}

// tcpChecksum is where in a TCP header the checksum is.
const tcpChecksum = 16

// normal returns o without what means nothing: the kernel measures some fields
// (hdr_len against the length) even where no flag makes them count.
func (o Offload) normal() Offload {
	// A verified checksum is a hint for hardware that received it; on the
	// way out the kernel wants NeedsCsum or nothing.
	o.Flags &^= DataValid
	if o.Flags&NeedsCsum == 0 {
		o.CsumStart, o.CsumOffset = 0, 0
	}
	if o.GSOType == GSONone {
		o.HdrLen, o.GSOSize = 0, 0
	}
	return o
}

// IsGSO reports whether the frame stands for several.
func (o Offload) IsGSO() bool { return o.GSOType != GSONone }

// valid reports whether the header fits a frame of n octets whose EtherType
// ends at l2, and whether all in it is known.
func (o Offload) valid(n, l2 int) bool {
	if o.Flags&^(NeedsCsum|DataValid) != 0 {
		return false
	}
	if o.Flags&NeedsCsum != 0 {
		start, field := int(o.CsumStart), int(o.CsumStart)+int(o.CsumOffset)
		if start < l2 || start > maxCsumStart || field+2 > n {
			return false
		}
		// What virtio_net_hdr_to_skb in linux/virtio_net.h and the
		// kernel's segmentation insist on.
		if o.IsGSO() && int(o.CsumOffset) != o.l4checksum() {
			return false
		}
	}
	switch o.GSOType &^ GSOECN {
	case GSONone:
		return o.GSOType == GSONone
	case GSOTCPv4, GSOTCPv6:
	case GSOUDPL4:
		if o.GSOType&GSOECN != 0 {
			return false
		}
	default:
		return false
	}
	return o.GSOSize >= minGSOSize && int(o.HdrLen) <= n
}
