package frame

import "encoding/binary"

// MaxBeside is how many tags a frame can carry beside its bytes. One comes
// from the kernel, one more each time a service tag is put on between two
// switches that a patch joins.
const MaxBeside = 8

// Frame is a view of one frame in a buffer. The buffer begins with OffloadLen
// octets of room for the virtio-net header, then come the bytes as they were
// received:
//
//	buf: | offload | dst src | taken-off tags | type, payload ... |
//	     0         10        22               10+rest
//
// Tags are not moved in the bytes: one that comes off the bytes only advances
// rest, and tags that the kernel delivered aside, or that were put on here,
// lie beside, in tags. Thus many egress ports share the bytes, each with a
// header of its own in front of them.
//
// The zero Frame is not usable; call [Frame.Reset].
type Frame struct {
	buf     []byte
	rest    int   // index into Data() of what follows the addresses and taken-off tags
	came    uint8 // nbeside as it was received
	nbeside uint8 // tags[nbeside-1] is the outermost
	hops    uint8 // crossings of patches
	off     Offload
	tags    [MaxBeside]Tag
}

// Reset makes f a view of buf, which holds OffloadLen octets and then the
// frame. tag is the outermost one where the kernel delivered it beside the
// bytes, else 0. buf stays the caller's; f is valid as long as buf is.
func (f *Frame) Reset(buf []byte, tag Tag, off Offload) {
	f.buf, f.rest, f.hops = buf, AddrLen, 0
	f.off = off.normal()
	f.came = 0
	if tag != 0 {
		f.tags[0], f.came = tag, 1
	}
	f.nbeside = f.came
}

// Rewind puts back the tags that [Frame.Pop] took off a frame that has not
// crossed a patch.
func (f *Frame) Rewind() { f.rest, f.nbeside = AddrLen, f.came }

// Data returns the bytes as they were received, without the tags beside.
func (f *Frame) Data() []byte { return f.buf[OffloadLen:] }

// Len returns the length on the wire, in octets, without frame check sequence.
func (f *Frame) Len() int {
	return len(f.buf) - OffloadLen - f.rest + AddrLen + int(f.nbeside)*TagLen
}

// IsGSO reports whether the frame stands for several.
func (f *Frame) IsGSO() bool { return f.off.IsGSO() }

// Offload returns the offload metadata; its offsets count from Data()[0].
func (f *Frame) Offload() Offload { return f.off }

// Hops returns how many patches the frame has crossed.
func (f *Frame) Hops() int { return int(f.hops) }

// Check finds what makes a frame unusable in any place: [Runt] and
// [BadOffload]. The other methods, but for Reset, Data and Len, need a frame
// that passed.
func (f *Frame) Check() Reason {
	data := f.Data()
	if len(data) < HeaderLen {
		return Runt
	}
	if f.off == (Offload{}) {
		return Pass
	}
	if !f.off.valid(len(data), pastTags(data, f.rest, len(data))+TypeLen) {
		return BadOffload
	}
	return Pass
}

// Simple reports whether f passes [Frame.Check], has no tag and leaves nothing
// to do for the receiver, as most frames do.
func (f *Frame) Simple() bool {
	return len(f.buf) >= OffloadLen+HeaderLen && f.off == (Offload{}) && f.nbeside == 0 && f.rest == AddrLen &&
		!IsTPID(binary.BigEndian.Uint16(f.buf[OffloadLen+AddrLen:]))
}

// Outer returns the outermost tag without taking it off; 0 where the frame has
// none. ok is false where the tag or the type behind it is cut off.
func (f *Frame) Outer() (t Tag, ok bool) {
	if f.nbeside > 0 {
		return f.tags[f.nbeside-1], true
	}
	data := f.Data()[f.rest:]
	tpid := binary.BigEndian.Uint16(data)
	if !IsTPID(tpid) {
		return 0, true
	}
	if len(data) < TagLen+TypeLen {
		return NewTag(tpid, 0, 0), false
	}
	return TagFromTCI(tpid, binary.BigEndian.Uint16(data[2:])), true
}

// OuterType returns the TPID of the outermost tag, or the EtherType where the
// frame has none.
func (f *Frame) OuterType() uint16 {
	if f.nbeside > 0 {
		return f.tags[f.nbeside-1].TPID()
	}
	return binary.BigEndian.Uint16(f.Data()[f.rest:])
}

// Pop takes off the outermost tag; [Frame.Outer] has said that there is a
// whole one.
func (f *Frame) Pop() {
	if f.nbeside > 0 {
		f.nbeside--
		return
	}
	f.rest += TagLen
}

// Push puts a tag on. It reports false, and does nothing, when MaxBeside tags
// lie beside already.
func (f *Frame) Push(t Tag) bool {
	if f.nbeside == MaxBeside {
		return false
	}
	f.tags[f.nbeside] = t
	f.nbeside++
	return true
}

// Cross makes f the frame that leaves a patch which src entered with outer
// put on (0: none). It reports false when src cannot carry another tag.
func (f *Frame) Cross(src *Frame, outer Tag) bool {
	*f = *src
	f.hops++
	return outer == 0 || f.Push(outer)
}

// HeadLen bounds what [Frame.Head] writes.
const HeadLen = OffloadLen + AddrLen + (MaxBeside+1)*TagLen

// Head writes the head of the copy that carries outer (0: none) as one more
// tag: offload header, addresses, tags. It returns its length; the bytes that
// follow on the wire are [Frame.Rest].
func (f *Frame) Head(dst *[HeadLen]byte, outer Tag) int {
	n := OffloadLen + copy(dst[OffloadLen:], f.buf[OffloadLen:OffloadLen+AddrLen])
	if outer != 0 {
		n = putTag(dst, n, outer)
	}
	for i := int(f.nbeside) - 1; i >= 0; i-- {
		n = putTag(dst, n, f.tags[i])
	}
	f.shifted(n - OffloadLen - f.rest).Put(dst[:])
	return n
}

func putTag(dst *[HeadLen]byte, at int, t Tag) int {
	binary.BigEndian.PutUint32(dst[at:], uint32(t))
	return at + TagLen
}

// shifted returns the offload metadata for a header that grew by n octets.
func (f *Frame) shifted(n int) Offload {
	o := f.off
	if o.Flags&NeedsCsum != 0 {
		o.CsumStart = uint16(int(o.CsumStart) + n)
	}
	if o.IsGSO() {
		o.HdrLen = uint16(min(max(0, int(o.HdrLen)+n), 1<<16-1))
	}
	return o
}

// Rest returns the bytes behind addresses and tags. They are borrowed from the
// buffer.
func (f *Frame) Rest() []byte { return f.buf[OffloadLen+f.rest:] }

// Whole returns the offload header and the frame in one piece, borrowed from
// the buffer, where the copy that carries outer lies there just so; else nil,
// and the copy is [Frame.Head] and [Frame.Rest].
func (f *Frame) Whole(outer Tag) []byte {
	if outer != 0 || f.nbeside != 0 || f.rest != AddrLen {
		return nil
	}
	f.off.Put(f.buf)
	return f.buf
}

// SegmentLen returns the length on the wire of the longest frame that the copy
// with outer put on becomes once it is segmented: its own where it is no
// super-frame.
func (f *Frame) SegmentLen(outer Tag) int {
	n := f.Len()
	if f.off.IsGSO() {
		header, _ := f.segmentHeader()
		n = min(n, header-f.rest+AddrLen+int(f.nbeside)*TagLen+int(f.off.GSOSize))
	}
	if outer != 0 {
		n += TagLen
	}
	return n
}

// TagsLen returns how many octets of tags the copy with outer put on has at
// its front, beside and in the bytes.
func (f *Frame) TagsLen(outer Tag) int {
	n := pastTags(f.Data(), f.rest, maxDepth) - f.rest + int(f.nbeside)*TagLen
	if outer != 0 {
		n += TagLen
	}
	return n
}
