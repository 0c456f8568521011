package fdb

// crowd keeps the ports on lists by their number of dynamic entries, so that
// the one with most of them is at hand. The number changes by one at a time,
// so keeping them sorted is a step to the next list. On a list they are in the
// order in which they reached its number.
type crowd struct {
	lists []*portState // by number; each a ring, whose first is here
	most  int          // the highest number that a port has
}

func newCrowd(size int) crowd { return crowd{lists: make([]*portState, size+1)} }

// into moves the lists to a crowd for another size; no port has more entries
// than that.
func (c crowd) into(n crowd) crowd {
	copy(n.lists, c.lists)
	n.most = c.most
	return n
}

// move notes that p has by entries more; by is 1 or -1. Ports without entries
// are on no list.
func (c *crowd) move(p *portState, by int) {
	n := int(p.count.Load())
	if n > 0 {
		c.unlink(p, n)
	}
	n += by
	p.count.Store(int32(n))
	if n > 0 {
		c.append(p, n)
	}
	switch {
	case n > c.most:
		c.most = n
	case by < 0 && c.lists[c.most] == nil:
		c.most-- // p was there alone and is on the next list now, or on none
	}
}

func (c *crowd) append(p *portState, n int) {
	first := c.lists[n]
	if first == nil {
		p.next, p.prev = p, p
		c.lists[n] = p
		return
	}
	p.next, p.prev = first, first.prev
	p.prev.next, first.prev = p, p
}

func (c *crowd) unlink(p *portState, n int) {
	if p.next == p {
		c.lists[n] = nil
	} else {
		p.prev.next, p.next.prev = p.next, p.prev
		if c.lists[n] == p {
			c.lists[n] = p.next
		}
	}
	p.next, p.prev = nil, nil
}

// fullest returns the port with most entries. Of several, it is own, else the
// one that reached the number first. It is nil where no port has any.
func (c *crowd) fullest(own *portState) *portState {
	if own != nil && c.most > 0 && int(own.count.Load()) == c.most {
		return own
	}
	if c.most == 0 {
		return nil
	}
	return c.lists[c.most]
}
