package fdb

import (
	"math/rand/v2"
	"testing"
)

// checkAges holds a port's list and heap against their rules and its count.
func checkAges(tb testing.TB, st *store, p *portState) {
	tb.Helper()
	n, before := 0, ref(0)
	for r := p.entries.first; r != 0; before, r = r, st.ages[r].right {
		n++
		if a := st.ages[r]; a.left != before || a.rank != 0 || a.stamp < st.ages[before].stamp {
			tb.Fatalf("port %d: after %d on the list comes %d, %+v", p.id, before, r, a)
		}
	}
	if p.entries.last != before {
		tb.Fatalf("port %d: the last on the list is %d, want %d", p.id, p.entries.last, before)
	}
	n += checkHeap(tb, st.ages, p.entries.root, 0)
	if n != int(p.count.Load()) {
		tb.Fatalf("port %d has %d entries on list and heap, %d by count", p.id, n, p.count.Load())
	}
}

func checkHeap(tb testing.TB, a ages, r, parent ref) (n int) {
	tb.Helper()
	if r == 0 {
		return 0
	}
	x := a[r]
	if x.parent != parent || parent != 0 && x.stamp < a[parent].stamp ||
		x.rank != a[x.right].rank+1 || a[x.left].rank < a[x.right].rank {
		tb.Fatalf("heap: %d is %+v, under %d, %+v, over ranks %d and %d", r, x, parent, a[parent], a[x.left].rank, a[x.right].rank)
	}
	return 1 + checkHeap(tb, a, x.left, r) + checkHeap(tb, a, x.right, r)
}

func TestAgesGiveTheOldestFirst(t *testing.T) {
	const n = 200
	a := make(ages, n+1)
	var q byAge
	stamps := map[ref]stamp{}
	free := rand.Perm(n)
	clock := Time(0)
	for i := range rounds(50_000) {
		switch op := rand.IntN(5); {
		case op < 2 && len(free) > 0:
			r := ref(free[0] + 1)
			free = free[1:]
			clock += Time(rand.IntN(3))
			stamps[r] = newStamp(firstSeen(clock-Time(rand.IntN(10)/9)), 0)
			a.arrive(&q, r, stamps[r])
		case op < 4 && len(stamps) > 0: // some, or the oldest, is seen again
			r := a.oldest(&q)
			if op == 3 {
				r = anyOf(stamps)
			}
			stamps[r] = stamps[r].updated(seenAgain(stamps[r].seen().time() + Time(rand.IntN(50))))
			a.remove(&q, r)
			a.sortIn(&q, r, stamps[r])
		case len(stamps) > 0:
			r := a.oldest(&q)
			for o, s := range stamps {
				if s < stamps[r] {
					t.Fatalf("the oldest is %d of %d, but %d is of %d", r, stamps[r], o, s)
				}
			}
			if rand.IntN(2) == 0 {
				r = anyOf(stamps)
			}
			a.remove(&q, r)
			delete(stamps, r)
			free = append(free, int(r-1))
		}
		if i%50 == 0 {
			checkHeap(t, a, q.root, 0)
		}
	}
	for len(stamps) > 0 {
		r := a.oldest(&q)
		a.remove(&q, r)
		delete(stamps, r)
	}
	if q != (byAge{}) || a.oldest(&q) != 0 {
		t.Errorf("%+v is left when all are removed", q)
	}
}

func anyOf(stamps map[ref]stamp) ref {
	for r := range stamps {
		return r
	}
	return 0
}
