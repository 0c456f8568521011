package port

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// closers is how many attachments are let go at once. Closing a packet socket
// or a TAP waits for the kernel's grace period, which many can share.
const closers = 128

// closeAll closes attachments. The devices that were made for them are deleted
// all at once, by group: the kernel takes half a millisecond for each of many
// and twenty for a single one. Meanwhile packet sockets are closed, which goes
// faster with the lock of all networking held (synchronize_net in
// net/core/dev.c). TAPs come after: closing one deletes it, alone.
func (h *Host) closeAll(all []*Attachment) error {
	var early, late []*Attachment
	var indexes []int
	for _, a := range all {
		if !a.seize() {
			continue
		}
		if tap, ok := a.kind.(*tapPort); ok {
			tap.letGo()
		}
		index := a.kind.made()
		if index != 0 {
			indexes = append(indexes, index)
		}
		if _, tap := a.kind.(*tapPort); tap && index != 0 {
			late = append(late, a)
		} else {
			early = append(early, a)
		}
	}
	var wg sync.WaitGroup
	var deleting, closing error
	wg.Go(func() { deleting = h.deleteMade(indexes) })
	wg.Go(func() { closing = each(early, closers, (*Attachment).closeDevice) })
	wg.Wait()
	return errors.Join(deleting, closing,
		each(late, 1, (*Attachment).closeDevice), // nothing to wait for any more
		each(append(early, late...), closers, (*Attachment).release))
}

// LeaveAll lets go of attachments, and leaves what they made and changed as it is,
// for a daemon of this instance that starts: see [Host.Inherit].
func (h *Host) LeaveAll(all []*Attachment) error {
	all = slices.DeleteFunc(slices.Clone(all), func(a *Attachment) bool { return !a.seize() })
	return each(all, closers, (*Attachment).leave)
}

// each does something with all attachments, some at a time.
func each(all []*Attachment, workers int, do func(*Attachment) error) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	next := make(chan *Attachment)
	for range min(workers, len(all)) {
		wg.Go(func() {
			for a := range next {
				if err := do(a); err != nil {
					mu.Lock()
					errs = append(errs, fmt.Errorf("close port %s: %w", a.id, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, a := range all {
		next <- a
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

// few is up to how many devices are asked for one by one.
const few = 16

// deleteMade deletes those of the devices that are there and bear our mark.
func (h *Host) deleteMade(indexes []int) error {
	if len(indexes) == 0 {
		return nil
	}
	here, err := h.ours(indexes)
	if err != nil {
		return err
	}
	if len(here) == 1 {
		return ignoreMissing(h.conn.Delete(here[0]))
	}
	for _, index := range here {
		if err := ignoreMissing(h.conn.Set(index, rtnl.Change{Group: &h.doomed})); err != nil {
			return fmt.Errorf("delete device %d: %w", index, err)
		}
	}
	if err := ignoreMissing(h.conn.DeleteGroup(h.doomed)); err != nil {
		return fmt.Errorf("delete %d devices: %w", len(here), err)
	}
	return nil
}

// ours returns those of the devices that are there and bear our mark.
func (h *Host) ours(indexes []int) (here []int, err error) {
	if len(indexes) <= few {
		for _, index := range indexes {
			link, err := h.conn.Link(index)
			if err == nil && h.made(link.Attrs().Group, link.Attrs().Alias) {
				here = append(here, index)
			}
			if ignoreMissing(err) != nil {
				return nil, fmt.Errorf("delete device %d: %w", index, err)
			}
		}
		return here, nil
	}
	links, err := h.conn.Links()
	if err != nil {
		return nil, err
	}
	wanted := make(map[int]bool, len(indexes))
	for _, index := range indexes {
		wanted[index] = true
	}
	for _, link := range links {
		a := link.Attrs()
		if wanted[a.Index] && h.made(a.Group, a.Alias) {
			here = append(here, a.Index)
		}
	}
	return here, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, rtnl.ErrNotFound) {
		return nil
	}
	return err
}
