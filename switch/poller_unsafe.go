//go:build linux

package vswitch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/impair"
)

// What wakes the worker beside its devices.
const (
	wakeSlot  = -1 // the eventfd
	timerSlot = -2 // the timer
)

// poller waits for devices to have frames, with epoll(7).
type poller struct {
	fd     int
	waker  int // an eventfd
	timer  int // a timerfd
	armed  impair.Time
	events [512]unix.EpollEvent // so many devices have a turn in a round
	spin   spin
	look   func() int // ready, without sleeping
}

func newPoller(most time.Duration) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll instance: %w", err)
	}
	waker, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("create an eventfd: %w", err)
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		unix.Close(waker)
		return nil, fmt.Errorf("create a timer: %w", err)
	}
	p := &poller{fd: fd, waker: waker, timer: timer, spin: spin{most: most}}
	p.look = func() int { return p.ready(0) }
	if err := errors.Join(p.add(waker, wakeSlot), p.add(timer, timerSlot)); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// arm makes wait return at a time, as now's clock has it. It takes the place of
// what was said before.
func (p *poller) arm(at impair.Time, now func() impair.Time) {
	if at == p.armed {
		return
	}
	p.armed = at
	in := max(time.Duration(at-now()), 1) // 0 would be never
	unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(in))}, nil)
}

func (p *poller) add(fd, slot int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(slot)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("poll descriptor %d: %w", fd, err)
	}
	return nil
}

// remove forgets a descriptor; one that is not polled is fine.
func (p *poller) remove(fd int) {
	unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, fd, nil)
}

// wake makes wait return; any goroutine may call it.
func (p *poller) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	unix.Write(p.waker, one[:])
}

// wait calls ready with the slot of each device that has frames, and whether it
// is the only one; it sleeps up to timeout milliseconds (-1: for good) while
// none has. It returns early when wake is called. Between two calls of ready,
// devices may be added and removed: an event of one that is gone names a free
// slot, or one that has nothing to receive yet.
func (p *poller) wait(timeout int, ready func(slot int, alone bool)) {
	n := p.ready(0)
	if n == 0 {
		n = p.await(timeout)
	}
	for i := range n {
		slot := int(p.events[i].Fd)
		switch slot {
		case wakeSlot:
			drain(p.waker)
		case timerSlot:
			drain(p.timer)
			p.armed = 0
		default:
			ready(slot, n == 1)
		}
	}
}

// drain takes the count of an eventfd or a timerfd, which then polls unready.
func drain(fd int) {
	var count [8]byte
	unix.Read(fd, count[:])
}

// await waits for events, first without sleeping, if that is worth it.
func (p *poller) await(timeout int) (n int) {
	begin := time.Now()
	if n = p.spin.spins(begin, p.look); n == 0 {
		n = p.sleep(timeout)
		p.spin.slept(time.Since(begin))
	}
	return n
}

// linger is how long, in milliseconds, a worker sleeps past the scheduler. Who
// sleeps with its knowledge gives the processor to other goroutines, but while
// that happens often, the scheduler's monitor wakes every 20 µs to see to it.
const linger = 1

// sleep waits for events, up to timeout milliseconds (-1: for good).
func (p *poller) sleep(timeout int) int {
	n := p.ready(linger)
	if n == 0 && timeout != linger {
		n, _ = unix.EpollWait(p.fd, p.events[:], timeout)
	}
	return max(n, 0)
}

// ready looks for events past the scheduler. (Newer architectures, arm64 for
// one, have epoll_pwait alone.)
func (p *poller) ready(timeout int) int {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (p *poller) close() {
	unix.Close(p.fd)
	unix.Close(p.waker)
	unix.Close(p.timer)
}
