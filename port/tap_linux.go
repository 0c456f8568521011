package port

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// tapDevice is the user's side of a TAP. It has no batched calls: one read or
// write moves one frame. See drivers/net/tun.c. Where there are many, an
// io_uring saves most of the way into the kernel and back.
type tapDevice struct {
	fd   int  // -1 once closed
	busy bool // the last Receive found as many frames as it might bring
}

// newTapDevice takes over the descriptor of a TAP with IFF_VNET_HDR and
// IFF_NO_PI that is non-blocking. (Not an os.File: the runtime's poller would
// wake for each of its frames, too.)
func newTapDevice(fd int) Device { return &tapDevice{fd: fd} }

func (d *tapDevice) FD() int { return d.fd }

func (d *tapDevice) Receive(io *IO) (frames []frame.Frame, err error) {
	if d.fd < 0 {
		return nil, ErrGone
	}
	if d.busy && io.uring != nil {
		frames, err = d.receiveTogether(io)
	} else {
		frames, err = d.receiveEach(io)
	}
	d.busy = len(frames) == io.Most
	return frames, err
}

func (d *tapDevice) receiveEach(io *IO) ([]frame.Frame, error) {
	for n := range io.Most {
		length, errno := read(d.fd, io.buffers[n])
		if errno != 0 {
			return io.frames[:n], ended(errno, n)
		}
		io.readFrame(n, io.buffers[n], length)
	}
	return io.frames[:io.Most], nil
}

// ended returns what is to be said when a read fails after n frames.
func ended(errno unix.Errno, n int) error {
	if errno == unix.EAGAIN || errno == unix.EINTR || n > 0 {
		return nil // what is wrong will be wrong at the next call, too
	}
	return gone(errno)
}

// readFrame makes a frame of what was read into a buffer.
func (io *IO) readFrame(n int, b []byte, length int) {
	io.frames[n].Reset(b[:max(length, frame.OffloadLen)], 0, frame.GetOffload(b))
}

// receiveTogether asks for all frames that there may be, so it is for when there
// are likely as many.
func (d *tapDevice) receiveTogether(io *IO) ([]frame.Frame, error) {
	for i := range io.Most {
		io.uring.read(d.fd, io.buffers[i])
	}
	n, errno := 0, unix.Errno(0)
	for i, r := range io.runURing() {
		if r < 0 {
			errno = unix.Errno(-r)
			continue
		}
		io.readFrame(n, io.buffers[i], int(r))
		n++
	}
	if errno == 0 || errno == unix.EOPNOTSUPP {
		return io.frames[:n], nil
	}
	return io.frames[:n], ended(errno, n)
}

// runURing has the io_uring do what it was asked for, and gives it up where it
// failed, or where the kernel's TAPs know of no request that must not wait.
func (io *IO) runURing() []int32 {
	results := io.uring.run()
	if io.uring.broken || results[0] == -int32(unix.EOPNOTSUPP) {
		io.Close()
	}
	return results
}

func (d *tapDevice) Transmit(io *IO, copies []Copy) (sent Sent, err error) {
	if d.fd < 0 {
		return Sent{Failed: uint64(len(copies))}, ErrGone
	}
	for i, c := range copies {
		io.mmsg.gather(i, c, &io.heads[i])
	}
	if len(copies) < minTogether || io.uring == nil {
		for i, c := range copies {
			err = sent.note(c, io.mmsg.write(d.fd, i), err)
		}
		return sent, err
	}
	for i := range copies {
		io.uring.write(d.fd, &io.mmsg, i)
	}
	for i, r := range io.runURing() {
		errno := unix.Errno(max(-r, 0))
		if errno == unix.EAGAIN || errno == unix.EOPNOTSUPP {
			errno = io.mmsg.write(d.fd, i)
		}
		err = sent.note(copies[i], errno, err)
	}
	return sent, err
}

// minTogether is how many writes are worth an io_uring.
const minTogether = 4

// note counts a copy whose write returned errno, and returns what to say of all
// of them, where err was to be said of those before.
func (s *Sent) note(c Copy, errno unix.Errno, err error) error {
	if errno == 0 {
		s.taken(c)
		return err
	}
	return cmp.Or(s.refused(errno), err)
}

func (d *tapDevice) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	return unix.Close(fd)
}
