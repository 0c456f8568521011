package frame

import (
	"encoding/binary"
	"fmt"
)

// Lengths in an Ethernet header, in octets.
const (
	AddrLen   = 12 // destination and source
	TagLen    = 4  // TPID and TCI
	TypeLen   = 2  // EtherType or length
	HeaderLen = AddrLen + TypeLen
)

// Tag protocol identifiers (IEEE 802.1Q, table 9-1).
const (
	TPIDCustomer uint16 = 0x8100 // C-tag
	TPIDService  uint16 = 0x88a8 // S-tag
)

// IsTPID reports whether an EtherType announces a tag.
func IsTPID(etherType uint16) bool { return etherType == TPIDCustomer || etherType == TPIDService }

// maxDepth is how many tags are looked through where it is done for each copy,
// so that a frame that is made of nothing else does not cost thousands of steps
// a copy. The kernel does the same (VLAN_MAX_DEPTH in linux/if_vlan.h).
const maxDepth = 8

// pastTags returns the index in data behind the tags that start at at, of which
// it looks at no more than most: that of a type, or of a tag that is cut off.
func pastTags(data []byte, at, most int) int {
	for ; most > 0 && at+TagLen+TypeLen <= len(data) && IsTPID(binary.BigEndian.Uint16(data[at:])); most-- {
		at += TagLen
	}
	return at
}

// Priority is the upper four bits of a TCI: PCP in bits 3 to 1, DEI in bit 0.
type Priority uint8

// Tag is a VLAN tag: TPID in the upper, TCI in the lower 16 bits. The zero
// Tag is no tag.
type Tag uint32

// NewTag puts a tag together. vid has 12 bits; 0 makes a priority tag.
func NewTag(tpid uint16, prio Priority, vid uint16) Tag {
	return Tag(tpid)<<16 | Tag(prio&0xf)<<12 | Tag(vid&0xfff)
}

// TagFromTCI makes a tag from the two fields as they are on the wire.
func TagFromTCI(tpid, tci uint16) Tag { return Tag(tpid)<<16 | Tag(tci) }

// TPID returns the tag protocol identifier.
func (t Tag) TPID() uint16 { return uint16(t >> 16) }

// TCI returns the tag control information: PCP, DEI and VID.
func (t Tag) TCI() uint16 { return uint16(t) }

// VID returns the VLAN identifier, 0 to 4095.
func (t Tag) VID() uint16 { return uint16(t) & 0xfff }

// Priority returns PCP and DEI.
func (t Tag) Priority() Priority { return Priority(t>>12) & 0xf }

func (t Tag) String() string {
	if t == 0 {
		return "untagged"
	}
	return fmt.Sprintf("%#04x vid %d prio %d dei %d", t.TPID(), t.VID(), t.Priority()>>1, t.Priority()&1)
}
