package port

import "sync"

// Attachment is a port's hold on what it is attached to. Its methods may be
// called at once.
type Attachment struct {
	// Device moves the port's frames. It is closed by Close, not by its user.
	Device Device
	// Info are the facts of the time when it was opened.
	Info Info

	host *Host
	id   Identity
	kind kind

	mu     sync.Mutex
	closed bool
}

// Status is how an attachment stands.
type Status struct {
	// Gone says that the attachment is beyond repair: close it, and open
	// another one when one of its keys is told.
	Gone bool
	// Manual says, with Gone, that nothing that comes brings the port back,
	// only somebody who asks: what we made was taken away by hand although
	// its namespace stands, or the namespace was that of a process.
	Manual bool
	// Carrier says that frames can pass.
	Carrier bool
	// Reason says why not, for people; empty with Carrier.
	Reason string

	// As they are now; zero where they could not be asked for.
	MTU    int    // of the far end: what it takes in
	Device string // name of the switch's side, which may have been renamed
	IfName string // of the far end, likewise; empty where it is no other device
}

// kind is what differs between the kinds of attachments. The attachment's
// mutex guards its methods.
type kind interface {
	status() Status
	setCarrier(up bool) error
	keys() []Key

	// made returns the index of the device that was made for the port and
	// is to be deleted with it, in the daemon's namespace; 0: none.
	made() int
	// release gives back everything but that device, which may be deleted
	// already, and the Device, which is closed already.
	release() error

	// leave ends what watches, and nothing else: what was made or changed stays
	// for a daemon that comes.
	leave()

	// hand says what another process needs to go on.
	hand() Handed
}

// Status asks the kernel how the attachment stands. Of one that is closed it
// says that it is gone.
func (a *Attachment) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return Status{Gone: true, Reason: "the port is being removed"}
	}
	return a.kind.status()
}

// SetCarrier shows what hangs on the port whether the port is in use, where
// the kind has a way to show it (veth, tap).
func (a *Attachment) SetCarrier(up bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return ErrGone
	}
	return a.kind.setCarrier(up)
}

// Keys returns what the events that concern the attachment name.
func (a *Attachment) Keys() []Key {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kind.keys()
}

// Close closes the Device, removes what Open made and nothing else, and puts
// back what Open changed. It is fine when the device is gone, and when it is
// closed already. Nobody may use the Device any more.
func (a *Attachment) Close() error {
	return a.host.closeAll([]*Attachment{a})
}

// seize marks a as closed; ok is false when it was.
func (a *Attachment) seize() (ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ok = !a.closed
	a.closed = true
	return ok
}

// closeDevice closes the device of a, which is seized.
func (a *Attachment) closeDevice() error { return a.Device.Close() }

// leave closes the device of a, which is seized, and lets all else be.
func (a *Attachment) leave() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kind.leave()
	return a.Device.Close()
}

// release releases the rest of a.
func (a *Attachment) release() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kind.release()
}

// undo collects what takes back the steps of an Open that fails halfway.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

// rollback takes all steps back, the last first, unless keep was called.
func (u *undo) rollback() {
	for i := len(*u) - 1; i >= 0; i-- {
		(*u)[i]()
	}
}

func (u *undo) keep() { *u = nil }
