package fdb

// ages keeps the dynamic entries of each port in a leftist heap, the oldest on
// top (Crane 1972; Knuth, TAOCP 3, 5.2.3). Its nodes lie beside the slots, at
// the same refs, so that it never allocates. Adding and removing, in the middle
// too, are O(log n) at worst; a list would be faster for those who are never
// seen again and could be as slow as it is long for the others.
//
// The heap sorts by stamp: what was known of seen when the entry was last
// sorted in. A renewal does not touch it, so a stamp is never later than the
// truth; see Table.oldestLocked.
type ages []ageNode

type ageNode struct {
	stamp               stamp
	parent, left, right ref
	rank                uint32 // nodes on the shortest way out, which is to the right; 0 of ref 0
}

// stamp is a seen and, below it, the order of arrival in one millisecond.
type stamp uint64

const (
	orderBits = 23
	maxOrder  = 1<<orderBits - 1
)

func newStamp(s seen, order uint32) stamp { return stamp(s)<<orderBits | stamp(min(order, maxOrder)) }

func (s stamp) seen() seen { return seen(s >> orderBits) }

// updated returns the stamp for an entry that was seen again.
func (s stamp) updated(at seen) stamp { return stamp(at)<<orderBits | s&maxOrder }

// push adds r to the heap with this root and returns the new root.
func (a ages) push(root, r ref, s stamp) ref {
	a[r] = ageNode{stamp: s, rank: 1}
	return a.meld(root, r)
}

// remove takes r out of the heap with this root and returns the new root.
func (a ages) remove(root, r ref) ref {
	parent := a[r].parent
	rest := a.meld(a[r].left, a[r].right)
	if r == root {
		return rest
	}
	a[rest].parent = parent
	if a[parent].left == r {
		a[parent].left = rest
	} else {
		a[parent].right = rest
	}
	for at := parent; at != 0; at = a[at].parent {
		if before := a[at].rank; a.balance(at) == before {
			break
		}
	}
	return root
}

// meld makes one heap of two and returns its root, which has no parent.
func (a ages) meld(x, y ref) ref {
	if x == 0 || y != 0 && a[y].stamp < a[x].stamp {
		x, y = y, x
	}
	a[x].parent = 0
	if y == 0 {
		return x
	}
	// Both spines become one: y goes where the right spine of x first has
	// something younger, which then takes the part of y.
	root := x
	for {
		r := a[x].right
		if r != 0 && a[r].stamp <= a[y].stamp {
			x = r
			continue
		}
		a[x].right, a[y].parent = y, x
		if r == 0 {
			break
		}
		x, y = y, r
	}
	for at := x; at != 0; at = a[at].parent {
		a.balance(at)
	}
	return root
}

// balance puts the child with the longer way out to the left and returns the
// rank.
func (a ages) balance(r ref) uint32 {
	n := &a[r]
	if a[n.left].rank < a[n.right].rank {
		n.left, n.right = n.right, n.left
	}
	n.rank = a[n.right].rank + 1
	return n.rank
}
