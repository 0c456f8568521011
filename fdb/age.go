package fdb

// ages keeps the dynamic entries of each port by age. Its nodes lie beside the
// slots, at the same refs, so that nothing is allocated.
//
// Most entries on a port that invents addresses are never seen again, and they
// come in the order of time: a list holds them, and taking its first is cheap.
// Those that were seen again are sorted in by the time when that was found
// out, which can be anywhere: a leftist heap holds them (Crane 1972; Knuth,
// TAOCP 3, 5.2.3), in which adding and removing, in the middle too, take
// O(log n) at worst.
//
// Both sort by stamp: what was known of seen when the entry was last sorted in.
// A renewal does not touch it, so a stamp is never later than the truth; see
// Table.oldestLocked.
type ages []ageNode

// ageNode is on its port's list where rank is 0, else in its heap.
type ageNode struct {
	stamp       stamp
	left, right ref    // younger children; on the list the one before and the one after
	parent      ref    // of those in the heap
	rank        uint32 // nodes on the shortest way out, which is to the right; of ref 0: 0
}

// byAge is the dynamic entries of one port.
type byAge struct {
	first, last ref // list
	root        ref // heap
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

// oldest returns the entry with the smallest stamp, or 0.
func (a ages) oldest(q *byAge) ref {
	if q.root == 0 || q.first != 0 && a[q.first].stamp < a[q.root].stamp {
		return q.first
	}
	return q.root
}

// arrive adds a newcomer.
func (a ages) arrive(q *byAge, r ref, s stamp) {
	if q.last != 0 && s < a[q.last].stamp {
		a.sortIn(q, r, s) // its worker is a little behind
		return
	}
	a[r] = ageNode{stamp: s, left: q.last}
	if q.last == 0 {
		q.first = r
	} else {
		a[q.last].right = r
	}
	q.last = r
}

// sortIn adds one that is not the youngest.
func (a ages) sortIn(q *byAge, r ref, s stamp) {
	a[r] = ageNode{stamp: s, rank: 1}
	q.root = a.meld(q.root, r)
}

func (a ages) remove(q *byAge, r ref) {
	n := a[r]
	if n.rank > 0 {
		q.root = a.cut(q.root, r)
		return
	}
	if n.left == 0 {
		q.first = n.right
	} else {
		a[n.left].right = n.right
	}
	if n.right == 0 {
		q.last = n.left
	} else {
		a[n.right].left = n.left
	}
}

// cut takes r out of the heap with this root and returns the new root.
func (a ages) cut(root, r ref) ref {
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
