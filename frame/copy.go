package frame

// Room returns how many octets [Frame.CopyTo] needs.
func (f *Frame) Room() int { return len(f.buf) }

// CopyTo makes out a frame that is as f is, whose bytes lie in room, which is
// [Frame.Room] octets long at least and stays the caller's.
func (f *Frame) CopyTo(room []byte, out *Frame) {
	n := copy(room, f.buf)
	*out = *f
	out.buf = room[:n:n]
}

// Damage turns over one bit behind the addresses and tags, and the type behind
// them: the one that n says. It reports false where there is none.
func (f *Frame) Damage(n uint32) bool {
	payload := f.Rest()[TypeLen:]
	if len(payload) == 0 {
		return false
	}
	bit := n % uint32(8*len(payload))
	payload[bit/8] ^= 1 << (bit % 8)
	return true
}
