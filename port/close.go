package port

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// closers is how many attachments are let go at once. Closing a packet socket
// or a TAP waits for the kernel's grace period, which many can share.
const closers = 128

// closeAll closes attachments. The devices that were made for them go first
// and all at once, by group: the kernel takes 0.4 ms for each of many and 20
// for a single one, and a socket is closed faster once its device is gone.
func (h *Host) closeAll(all []*Attachment) error {
	seized := make([]*Attachment, 0, len(all))
	var indexes []int
	for _, a := range all {
		if !a.seize() {
			continue
		}
		seized = append(seized, a)
		if index := a.kind.made(); index != 0 {
			indexes = append(indexes, index)
		}
	}
	errs := []error{h.deleteMade(indexes)}

	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan *Attachment)
	for range min(closers, len(seized)) {
		wg.Go(func() {
			for a := range next {
				if err := a.letGo(); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("close port %s: %w", a.id, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, a := range seized {
		next <- a
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// deleteMade deletes those of the devices that are there and bear our mark.
func (h *Host) deleteMade(indexes []int) error {
	var errs []error
	doomed := 0
	for _, index := range indexes {
		link, err := h.conn.Link(index)
		if err == nil && h.made(link.Attrs().Group, link.Attrs().Alias) {
			if len(indexes) == 1 {
				err = h.conn.Delete(index)
			} else if err = h.conn.Set(index, rtnl.Change{Group: &h.doomed}); err == nil {
				doomed++
			}
		}
		if err != nil && !errors.Is(err, rtnl.ErrNotFound) {
			errs = append(errs, fmt.Errorf("delete device %d: %w", index, err))
		}
	}
	if doomed > 0 {
		if err := h.conn.DeleteGroup(h.doomed); err != nil && !errors.Is(err, rtnl.ErrNotFound) {
			errs = append(errs, fmt.Errorf("delete %d devices: %w", doomed, err))
		}
	}
	return errors.Join(errs...)
}
