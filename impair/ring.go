package impair

// ring remembers when the frames in a queue leave it. A ring of no frames holds
// any number.
type ring struct {
	left       []Time // the oldest is at first
	first, len int
}

func (r *ring) init(frames int) {
	if frames > 0 {
		r.left = make([]Time, frames)
	}
}

func (r *ring) full() bool { return r.left != nil && r.len == len(r.left) }

// leave forgets the frames that have left by now.
func (r *ring) leave(now Time) {
	for r.len > 0 && r.left[r.first] <= now {
		r.first = (r.first + 1) % len(r.left)
		r.len--
	}
}

// enter adds a frame to a queue that is not full.
func (r *ring) enter(leaves Time) {
	if r.left == nil {
		return
	}
	r.left[(r.first+r.len)%len(r.left)] = leaves
	r.len++
}
