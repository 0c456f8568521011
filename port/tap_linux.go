package port

import (
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/frame"
)

// tapDevice is the user's side of a TAP. It has no batched calls: one read or
// write moves one frame. See drivers/net/tun.c.
type tapDevice struct {
	fd int // -1 once closed
}

// newTapDevice takes over the descriptor of a TAP with IFF_VNET_HDR and
// IFF_NO_PI that is non-blocking. (Not an os.File: the runtime's poller would
// wake for each of its frames, too.)
func newTapDevice(fd int) Device { return &tapDevice{fd} }

func (d *tapDevice) FD() int { return d.fd }

func (d *tapDevice) Receive(io *IO) ([]frame.Frame, error) {
	if d.fd < 0 {
		return nil, ErrGone
	}
	n := 0
	for n < io.Most {
		b := io.buffers[n]
		length, errno := read(d.fd, b)
		if errno != 0 {
			if errno == unix.EAGAIN || errno == unix.EINTR || n > 0 {
				break // what is wrong will be wrong at the next call, too
			}
			return nil, gone(errno)
		}
		length = max(length, frame.OffloadLen)
		io.frames[n].Reset(b[:length], 0, frame.GetOffload(b))
		n++
	}
	return io.frames[:n], nil
}

func (d *tapDevice) Transmit(io *IO, copies []Copy) (sent Sent, err error) {
	if d.fd < 0 {
		return Sent{Failed: uint64(len(copies))}, ErrGone
	}
	for i, c := range copies {
		io.mmsg.gather(i, c, &io.heads[i])
		if errno := io.mmsg.write(d.fd, i); errno == 0 {
			sent.taken(c)
		} else if e := sent.refused(errno); e != nil {
			err = e
		}
	}
	return sent, err
}

func (d *tapDevice) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	return unix.Close(fd)
}
