// Package port is the switch's seam to the world: what every kind of port
// looks like to a worker, and one file for each kind.
//
// A [Device] moves frames between the kernel (or a test) and buffers that the
// caller owns; it knows nothing of VLANs, learning or other ports. A [Host]
// makes devices of the kinds that people ask for, marks what it makes, tells
// when something around them changes, and takes away what it made.
package port

import (
	"errors"

	"github.com/vswitch/vswitch/frame"
)

// ErrGone is what a Device returns, possibly wrapped, once what it stood on
// has vanished: the TAP was destroyed, the interface was removed or its
// namespace deleted. It ends the port; a bad frame never does.
var ErrGone = errors.New("the device is gone")

// Device receives and transmits frames without ever waiting.
//
// One goroutine receives at a time. Several may transmit at once, each with an
// [IO] of its own. After Close, and once the device is gone, both methods do
// nothing and return an error that wraps [ErrGone].
type Device interface {
	// Receive takes the frames that wait, at most io.Most, into buffers of
	// io. The result is empty when none waits. Frames and buffers
	// belong to io: they are valid until the next Receive with the same io.
	Receive(io *IO) ([]frame.Frame, error)

	// Transmit sends the copies in order; there are at most [BatchFrames].
	// The copies, the frames that they refer to and their bytes are borrowed
	// until it returns. What the device does not take is dropped here and
	// counted in the result: Frames + TooBig + Full + Failed is the number of
	// copies, also when there is an error.
	Transmit(io *IO, copies []Copy) (Sent, error)

	// FD returns the descriptor that polls readable when frames wait, or -1
	// where there is none.
	FD() int

	// Close gives back what the device holds. It must not be called while a
	// Receive or Transmit runs: the owner of the workers sees to that.
	Close() error
}

// Copy is one frame on its way out, with the tag that this egress puts on
// (0: none).
type Copy struct {
	Frame *frame.Frame
	Tag   frame.Tag
}

// Sent counts what became of copies.
type Sent struct {
	Frames, Bytes uint64 // taken by the device; bytes without frame check sequence
	TooBig        uint64 // longer than the device carries
	Full          uint64 // its queue was full
	Failed        uint64 // refused otherwise

	// Undescribed counts frames that came in by the device and that the
	// kernel dropped, as it has no way to describe them, where it said so to
	// Transmit and not to Receive. They are none of the copies.
	Undescribed uint64
}

// UndescribedLen is what such a frame counts for in octets: its length is not
// known.
const UndescribedLen = frame.HeaderLen

// Booster is the power of devices that can receive many small frames at less
// cost, for memory ([RingBytes]). No frame is lost or overtaken meanwhile.
//
// Unboost is for the worker that receives, between two batches; the others are
// for who owns the worker, in this order, each once, but for Stuck.
type Booster interface {
	// Boost prepares it, and returns a descriptor to poll beside FD.
	Boost() (fd int, err error)
	// Shift begins it, once that descriptor is polled.
	Shift() error
	// Stuck reports whether no frame waits, and some were dropped since the
	// last call. If none came in meanwhile, nor before, the kernel has lost
	// its place, and Calm is the way out.
	Stuck() bool
	// Calm ends it; frames may still wait.
	Calm() error
	// Unboost returns how to give back the memory, or nil as long as frames
	// wait.
	Unboost() (giveBack func() error)
}

// RxDropCounter is the power of devices whose kernel side counts the frames
// that it dropped because nobody received in time.
type RxDropCounter interface {
	// RxDrops returns the number of frames dropped since the last call.
	RxDrops() uint64
}
