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

// Buffer returns the buffer that the i-th frame of a batch is received into.
func (io *IO) Buffer(i int) []byte { return io.buffers[i] }

// Frame returns the i-th frame of a batch, for a Receive to reset.
func (io *IO) Frame(i int) *frame.Frame { return &io.frames[i] }

// Batch returns the first n frames.
func (io *IO) Batch(n int) []frame.Frame { return io.frames[:n] }
