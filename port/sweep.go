package port

import (
	"context"
	"errors"
	"fmt"
)

// Sweep finds what an earlier daemon of this instance left when it was killed:
// it removes what that one made, and puts back what it changed on devices that
// it used. It returns how many devices that were. What other instances made it
// does not touch. It is called before the first port is opened.
func (h *Host) Sweep(ctx context.Context) (n int, err error) {
	links, err := h.conn.Links()
	if err != nil {
		return 0, err
	}
	var made []int
	var errs []error
	for _, link := range links {
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		a := link.Attrs()
		if h.made(a.Group, a.Alias) {
			made = append(made, a.Index)
			continue
		}
		for _, alt := range a.AltNames {
			m, ok := parseDevMark(alt)
			if !ok || m.instance != h.instance {
				continue
			}
			n++
			err := h.drop.remove(a.Index, !m.state.clsact)
			if err == nil {
				err = h.putBack(link, m.state)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("put device %s back as it was: %w", a.Name, err))
			}
			break
		}
	}
	errs = append(errs, h.deleteMade(made))
	return n + len(made), errors.Join(errs...)
}
