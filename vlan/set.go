package vlan

import (
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// Set is a set of VIDs, 0 to 4095. The zero Set is empty. It is changed before
// it is shared, and never after.
type Set struct {
	words [64]uint64
}

// Contains reports whether vid, of which 12 bits count, is in s.
func (s *Set) Contains(vid uint16) bool {
	return s.words[vid>>6&63]&(1<<(vid&63)) != 0
}

// Add puts vid, of which 12 bits count, into s.
func (s *Set) Add(vid uint16) { s.words[vid>>6&63] |= 1 << (vid & 63) }

// AddRange puts lo to hi, both included, into s.
func (s *Set) AddRange(lo, hi uint16) {
	for vid := uint32(lo); vid <= uint32(hi); vid++ {
		s.Add(uint16(vid))
	}
}

// Len returns how many VIDs are in s.
func (s *Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether nothing is in s.
func (s *Set) Empty() bool { return *s == Set{} }

// Each calls fn for each VLAN in s, in rising order. It leaves out 0 and 4095,
// which are no VLANs.
func (s *Set) Each(fn func(ID)) {
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			if id := ID(i<<6 | bits.TrailingZeros64(w)); id.Valid() {
				fn(id)
			}
		}
	}
}

// ranges yields the runs of neighbours in s, both ends included.
func (s *Set) ranges() iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		for lo := 0; lo < 4096; lo++ {
			if !s.Contains(uint16(lo)) {
				continue
			}
			hi := lo
			for hi+1 < 4096 && s.Contains(uint16(hi+1)) {
				hi++
			}
			if !yield(lo, hi) {
				return
			}
			lo = hi
		}
	}
}

// Ranges returns s as [ParseSet] reads it, one string for each VID or run of
// neighbours: "10", "20-30". It never returns nil.
func (s *Set) Ranges() []string {
	out := []string{}
	for lo, hi := range s.ranges() {
		word := strconv.Itoa(lo)
		if hi > lo {
			word += "-" + strconv.Itoa(hi)
		}
		out = append(out, word)
	}
	return out
}

// String returns s as [ParseSet] reads it: "10,20-30". The empty set is "".
func (s *Set) String() string { return strings.Join(s.Ranges(), ",") }

// ParseSet reads VIDs and ranges with commas between them, such as "10,20-30",
// in any order. Each VID is from lowest to 4094 and named once: a list that
// says something twice was probably meant to say something else. lowest is 1
// for the VLANs of a trunk, 0 for customers' VIDs, where 0 means untagged.
func ParseSet(s string, lowest uint16) (Set, error) {
	var set Set
	if s == "" {
		return Set{}, errors.New("the list of VLANs is empty: write VLANs and ranges, such as 10,20-30")
	}
	for item := range strings.SplitSeq(s, ",") {
		if err := set.parseItem(item, s, lowest); err != nil {
			return Set{}, err
		}
	}
	return set, nil
}

func (s *Set) parseItem(item, list string, lowest uint16) error {
	if item == "" {
		return fmt.Errorf("the list %s has an empty place: write VLANs and ranges with one comma between them, such as 10,20-30", quote(list))
	}
	from, to, isRange := strings.Cut(item, "-")
	lo, err := parseVID(from, lowest)
	if err != nil {
		return inList(err, item, list)
	}
	hi := lo
	if isRange {
		if hi, err = parseVID(to, lowest); err != nil {
			return inList(err, item, list)
		}
	}
	if lo > hi {
		return fmt.Errorf("the range %s is reversed: write %d-%d", quote(item), hi, lo)
	}
	for vid := lo; vid <= hi; vid++ {
		if s.Contains(vid) {
			return fmt.Errorf("the list %s names VLAN %d twice: name each VLAN once", quote(list), vid)
		}
		s.Add(vid)
	}
	return nil
}

func inList(err error, item, list string) error {
	if item == list {
		return err
	}
	return fmt.Errorf("in the list %s: %w", quote(list), err)
}
