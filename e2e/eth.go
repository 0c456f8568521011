package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
)

// Types that tests put into frames.
const (
	TypeTest    uint16 = 0x88b5 // IEEE 802, local experimental
	TypeCTag    uint16 = 0x8100
	TypeSTag    uint16 = 0x88a8
	broadcast          = "ff:ff:ff:ff:ff:ff"
	addrLen            = 12
	tagLen             = 4
	vnetHdrLen         = 10
	minimumSize        = 14
)

// Eth builds a frame, and reads like one:
//
//	Eth{Dst: "ff:ff:ff:ff:ff:ff", Src: "02:00:00:00:00:01", Tags: Tags(C(10)), Payload: "hello"}
//
// The zero fields mean broadcast, station 1, no tag, [TypeTest], nothing.
type Eth struct {
	Dst, Src string
	Tags     []Tag
	Type     uint16
	Payload  string
}

// Tag is an 802.1Q tag; the first of a frame's is the outermost.
type Tag struct {
	TPID uint16
	VID  uint16
	PCP  uint8
	DEI  bool
}

// C and S make a customer's and a service tag; P makes a priority tag.
func C(vid uint16) Tag { return Tag{TPID: TypeCTag, VID: vid} }

// S makes a service tag.
func S(vid uint16) Tag { return Tag{TPID: TypeSTag, VID: vid} }

// P makes a customer's priority tag: VID 0.
func P(pcp uint8) Tag { return Tag{TPID: TypeCTag, PCP: pcp} }

// Prio returns the tag with a priority.
func (t Tag) Prio(pcp uint8) Tag { t.PCP = pcp; return t }

// Drop returns the tag with the drop eligible indicator set.
func (t Tag) Drop() Tag { t.DEI = true; return t }

// Tags makes a stack, outermost first.
func Tags(tags ...Tag) []Tag { return tags }

// MAC names station n: 02:00:00:00:00:01 and so on.
func MAC(n int) string {
	return fmt.Sprintf("02:00:%02x:%02x:%02x:%02x", byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Bytes returns the frame as it is on the wire, without padding.
func (e Eth) Bytes() []byte {
	if e.Dst == "" {
		e.Dst = broadcast
	}
	if e.Src == "" {
		e.Src = MAC(1)
	}
	if e.Type == 0 {
		e.Type = TypeTest
	}
	b := append(hardware(e.Dst), hardware(e.Src)...)
	for _, t := range e.Tags {
		b = binary.BigEndian.AppendUint16(b, t.TPID)
		b = binary.BigEndian.AppendUint16(b, t.tci())
	}
	b = binary.BigEndian.AppendUint16(b, e.Type)
	return append(b, e.Payload...)
}

func (t Tag) tci() uint16 {
	tci := uint16(t.PCP)<<13 | t.VID&0xfff
	if t.DEI {
		tci |= 1 << 12
	}
	return tci
}

// With returns the frame with other tags.
func (e Eth) With(tags ...Tag) Eth { e.Tags = tags; return e }

// To returns the frame with another destination.
func (e Eth) To(dst string) Eth { e.Dst = dst; return e }

// From returns the frame with another source.
func (e Eth) From(src string) Eth { e.Src = src; return e }

// Saying returns the frame with another payload.
func (e Eth) Saying(payload string) Eth { e.Payload = payload; return e }

func hardware(s string) []byte {
	mac, err := net.ParseMAC(s)
	if err != nil {
		panic(err) // a test's own constant
	}
	return mac
}

// Describe makes a frame readable: addresses, tags, type, the first octets.
func Describe(b []byte) string {
	if len(b) < minimumSize {
		return fmt.Sprintf("%d octets: %s", len(b), hex.EncodeToString(b))
	}
	var s strings.Builder
	fmt.Fprintf(&s, "%s > %s", net.HardwareAddr(b[6:12]), net.HardwareAddr(b[:6]))
	at := addrLen
	for {
		typ := binary.BigEndian.Uint16(b[at:])
		if (typ != TypeCTag && typ != TypeSTag) || at+tagLen+2 > len(b) {
			fmt.Fprintf(&s, " type %04x", typ)
			at += 2
			break
		}
		tci := binary.BigEndian.Uint16(b[at+2:])
		kind := "C"
		if typ == TypeSTag {
			kind = "S"
		}
		fmt.Fprintf(&s, " %s-tag %d", kind, tci&0xfff)
		if tci>>12 != 0 {
			fmt.Fprintf(&s, " (PCP %d, DEI %d)", tci>>13, tci>>12&1)
		}
		at += tagLen
	}
	rest := b[at:]
	fmt.Fprintf(&s, ", %d octets", len(b))
	if show := rest[:min(len(rest), 48)]; len(show) > 0 {
		fmt.Fprintf(&s, ": %q", show)
	}
	return s.String()
}

// insertTag puts a tag that came beside the bytes where it is on the wire.
func insertTag(b []byte, tpid, tci uint16) []byte {
	if len(b) < addrLen {
		return b
	}
	out := make([]byte, 0, len(b)+tagLen)
	out = append(out, b[:addrLen]...)
	out = binary.BigEndian.AppendUint16(out, tpid)
	out = binary.BigEndian.AppendUint16(out, tci)
	return append(out, b[addrLen:]...)
}
