package port

import "github.com/vswitch/vswitch/frame"

const (
	// BatchFrames is how many frames one Receive brings at the most.
	BatchFrames = 64

	// bufferLen holds the longest super-frame (64 KiB), its Ethernet header
	// with tags, and the offload header.
	bufferLen = 66 << 10
)

// IO is a worker's memory for receiving and transmitting: buffers that it owns
// for life, and the scratch space of the system calls. It must not be used by
// two goroutines at once.
type IO struct {
	frames  [BatchFrames]frame.Frame
	buffers [BatchFrames][]byte
	heads   [BatchFrames][frame.HeadLen]byte // of copies that differ from what was received
	mmsg    messages

	ring *ring // that the frames of the last batch lie in; nil: in buffers

	uring *uring // nil: there is none

	// Most is how many frames the next Receive may bring, 1 to BatchFrames.
	Most int
}

// NewIO returns an IO; it takes 4 MiB of address space, of which only what
// frames touch becomes memory.
func NewIO() *IO {
	io := &IO{Most: BatchFrames}
	all := make([]byte, BatchFrames*bufferLen)
	for i := range io.buffers {
		io.buffers[i] = all[i*bufferLen : (i+1)*bufferLen : (i+1)*bufferLen]
	}
	io.mmsg.init(&io.buffers)
	return io
}

// UseURing makes devices that have no call for more than one frame, which are
// TAPs, move many at once by io_uring(7). It returns why that cannot be; they go
// on frame by frame then.
func (io *IO) UseURing() (err error) {
	io.uring, err = newUring()
	return err
}

// Close gives back what UseURing took.
func (io *IO) Close() {
	if io.uring != nil {
		io.uring.close()
		io.uring = nil
	}
}

// Buffer returns the buffer that the i-th frame of a batch is received into.
func (io *IO) Buffer(i int) []byte { return io.buffers[i] }

// Frame returns the i-th frame of a batch, for a Receive to reset.
func (io *IO) Frame(i int) *frame.Frame { return &io.frames[i] }

// Batch returns the first n frames.
func (io *IO) Batch(n int) []frame.Frame { return io.frames[:n] }

// Release tells that nobody uses the frames of the last batch any more. The
// next Receive does so, too; but what they lie in may be the kernel's, and scarce.
func (io *IO) Release() {
	if io.ring != nil {
		io.ring.release()
		io.ring = nil
	}
}

// Forget is Release for frames whose device is about to be closed, and keeps
// nothing of it.
func (io *IO) Forget() { io.ring = nil }
