package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Offload is the virtio-net header that came, or goes, with a frame. Its
// offsets count from the first octet on the wire.
type Offload struct {
	Flags, GSOType                         uint8
	HdrLen, GSOSize, CsumStart, CsumOffset uint16
}

func (o Offload) bytes() []byte {
	b := []byte{o.Flags, o.GSOType}
	for _, v := range []uint16{o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset} {
		b = binary.NativeEndian.AppendUint16(b, v)
	}
	return b
}

func readOffload(b []byte) Offload {
	u16 := binary.NativeEndian.Uint16
	return Offload{b[0], b[1], u16(b[2:]), u16(b[4:]), u16(b[6:]), u16(b[8:])}
}

// Received is a frame that arrived, as it was on the wire.
type Received struct {
	Bytes   []byte
	Offload Offload
}

// Wire is a place where a test puts frames on the wire and takes them off: a
// [Station] or a [Monitor].
type Wire interface {
	Send(frames ...any)
	Expect(frames ...any)
	Await(frame any)
	Next() Received
	String() string
	until(mark string, frames []any) string
}

var _, _ Wire = (*Station)(nil), (*Monitor)(nil)

// inbox holds what has arrived and was not looked at yet. Both kinds of wire
// have one.
type inbox struct {
	h    *Host
	name string

	mu      sync.Mutex
	arrived []Received
	more    chan struct{} // closed and renewed at each arrival
	err     error         // why nothing more comes
	ignore  func([]byte) bool
}

// String names the wire in messages.
func (in *inbox) String() string { return in.name }

// Ignore has frames left out that match: what a stack says by itself.
func (in *inbox) Ignore(match func([]byte) bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ignore = match
}

func (in *inbox) put(r Received, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case err != nil:
		in.err = err
	case in.ignore != nil && in.ignore(r.Bytes):
		return
	default:
		in.arrived = append(in.arrived, r)
	}
	if in.more != nil {
		close(in.more)
		in.more = nil
	}
}

// take removes the first frame; more is closed when there is another.
func (in *inbox) take() (r Received, ok bool, more <-chan struct{}, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.arrived) > 0 {
		r = in.arrived[0]
		in.arrived = in.arrived[1:]
		return r, true, nil, nil
	}
	if in.more == nil {
		in.more = make(chan struct{})
	}
	return r, false, in.more, in.err
}

// Next waits for a frame.
func (in *inbox) Next() Received {
	in.h.t.Helper()
	r, err := in.next(Patience)
	if err != nil {
		in.h.t.Fatal(err)
	}
	return r
}

func (in *inbox) next(d time.Duration) (Received, error) {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		r, ok, more, err := in.take()
		switch {
		case ok:
			return r, nil
		case err != nil:
			return r, fmt.Errorf("%s: %w", in.name, err)
		}
		select {
		case <-more:
		case <-deadline.C:
			return r, fmt.Errorf("%s: no frame in %v", in.name, d)
		}
	}
}

// Drain forgets what has arrived so far.
func (in *inbox) Drain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.arrived = nil
}

// Expect waits for exactly these frames, in this order: nothing between them,
// nothing before. A frame is an [Eth] or bytes.
func (in *inbox) Expect(frames ...any) {
	in.h.t.Helper()
	for i, f := range frames {
		want := wireBytes(f)
		r, err := in.next(Patience)
		if err != nil {
			in.h.t.Fatalf("%v; want frame %d of %d:\n    %s", err, i+1, len(frames), Describe(want))
		}
		if !bytes.Equal(r.Bytes, want) {
			in.h.t.Fatalf("%s: frame %d of %d: %s", in.name, i+1, len(frames), difference(r.Bytes, want))
		}
	}
}

// Await waits until a frame arrives, whatever comes before it: for places where
// stacks talk, too.
func (in *inbox) Await(frame any) {
	in.h.t.Helper()
	want := wireBytes(frame)
	for n := 0; ; n++ {
		r, err := in.next(Patience)
		if err != nil {
			in.h.t.Fatalf("%v; %d others came, but not\n    %s", err, n, Describe(want))
		}
		if bytes.Equal(r.Bytes, want) {
			return
		}
	}
}

// ExpectNone makes sure that nothing has arrived but what was looked at. mark
// sends a frame that must arrive here behind all that the test sent: by the
// same way, because only frames of one way stay in order.
func (in *inbox) ExpectNone(mark Eth, send func(Eth)) {
	in.h.t.Helper()
	if mark.Payload == "" {
		mark.Payload = markWord + nextMark()
	}
	send(mark)
	in.ExpectUntil(mark.Payload)
}

// ExpectUntil waits until a frame with the payload arrives, whatever its tags;
// exactly the frames may come before it.
func (in *inbox) ExpectUntil(payload string, frames ...any) {
	in.h.t.Helper()
	if problem := in.until(payload, frames); problem != "" {
		in.h.t.Error(problem)
	}
}

func (in *inbox) until(payload string, frames []any) string {
	var problems []string
	for i := 0; ; i++ {
		r, err := in.next(Patience)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%v; want the mark %q", err, payload))
			break
		}
		if bytes.Contains(r.Bytes, []byte(markWord)) && !bytes.HasSuffix(r.Bytes, []byte(payload)) {
			i-- // a mark for another, or one that came twice
			continue
		}
		if bytes.HasSuffix(r.Bytes, []byte(payload)) {
			if i < len(frames) {
				problems = append(problems, fmt.Sprintf("%s: did not get frame %d of %d:\n    %s",
					in.name, i+1, len(frames), Describe(wireBytes(frames[i]))))
			}
			break
		}
		if i >= len(frames) {
			problems = append(problems, fmt.Sprintf("%s: got, and should not have:\n    %s", in.name, Describe(r.Bytes)))
		} else if want := wireBytes(frames[i]); !bytes.Equal(r.Bytes, want) {
			problems = append(problems, fmt.Sprintf("%s: frame %d of %d: %s", in.name, i+1, len(frames), difference(r.Bytes, want)))
		}
	}
	return strings.Join(problems, "\n")
}

func difference(got, want []byte) string {
	s := fmt.Sprintf("\n    got  %s\n    want %s", Describe(got), Describe(want))
	if Describe(got) == Describe(want) {
		s += fmt.Sprintf("\n    got  %x\n    want %x", got, want)
	}
	return s
}

// wireBytes returns the octets of an [Eth], or of what is bytes already.
func wireBytes(f any) []byte {
	switch f := f.(type) {
	case Eth:
		return f.Bytes()
	case []byte:
		return f
	case string:
		return []byte(f)
	}
	panic(fmt.Sprintf("a frame is an Eth or bytes, not %T", f))
}

// markWord begins the payload of marks, and of nothing else.
const markWord = "mark#"

var marks struct {
	sync.Mutex
	n int
}

// nextMark returns a word that no other frame carries.
func nextMark() string {
	marks.Lock()
	defer marks.Unlock()
	marks.n++
	return fmt.Sprintf("%08x", marks.n)
}
