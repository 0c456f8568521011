package vswitch

import (
	"errors"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/port"
)

// segmentRoom is a worker's memory for segments on their way out, in octets.
// It holds two of the longest.
const segmentRoom = 132 << 10

// segmenter is what a worker needs to cut super-frames that the kernel cannot
// cut. Few ever come (see [frame.Frame.Tunnelled]): its memory becomes real
// with the first.
type segmenter struct {
	cut    frame.Segmenter
	frames [port.BatchFrames]frame.Frame
	copies [port.BatchFrames]port.Copy
	room   []byte
}

func newSegmenter() *segmenter { return &segmenter{room: make([]byte, segmentRoom)} }

// transmitSegments sends the segments of a super-frame, behind the copies that
// are queued for the port. It counts as the one copy that it is: as sent when
// all of its segments were.
func (w *worker) transmitSegments(l *lane, out *view, f *frame.Frame, tag frame.Tag) {
	if l.n > 0 {
		w.transmit(l)
	}
	s := w.segments
	if r := s.cut.Start(f); r != frame.Pass {
		bump(&l.drops[r], 1)
		return
	}
	var total port.Sent
	each := s.cut.Bound()
	for more := true; more; {
		n := 0
		for n < len(s.frames) && (n+1)*each <= len(s.room) {
			if more = s.cut.Next(s.room[n*each:(n+1)*each], &s.frames[n]); !more {
				break
			}
			s.copies[n] = port.Copy{Frame: &s.frames[n], Tag: tag}
			n++
		}
		if n == 0 {
			break
		}
		w.work += n * segmentWork
		sent, err := out.device.Transmit(w.io, s.copies[:n])
		total.TooBig += sent.TooBig
		total.Full += sent.Full
		total.Failed += sent.Failed
		total.Undescribed += sent.Undescribed
		if err != nil && errors.Is(err, port.ErrGone) {
			w.lost(out.core)
			break
		}
	}
	l.count(asOne(total, f, tag))
}

// asOne says of one copy what became of its segments: what kept one of them
// kept the copy.
func asOne(s port.Sent, f *frame.Frame, tag frame.Tag) port.Sent {
	one := port.Sent{Undescribed: s.Undescribed}
	switch {
	case s.Failed > 0:
		one.Failed = 1
	case s.Full > 0:
		one.Full = 1
	case s.TooBig > 0:
		one.TooBig = 1
	default:
		one.Frames, one.Bytes = 1, uint64(f.Len())
		if tag != 0 {
			one.Bytes += frame.TagLen
		}
	}
	return one
}
