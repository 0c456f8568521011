package port

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
	"github.com/vswitch/vswitch/internal/rtnl"
)

// leftover is a device that an earlier daemon of this instance has left: one that it
// made, or one that it used.
type leftover struct {
	index int
	name  string
	alias string
	link  netlink.Link // of one in the daemon's namespace

	namespace netns.ID // where a TAP is that is not here
	paths     []string // of that; processes come and go
	used      *devMark // of a device that was only used
	held      bool     // by a process, such as a daemon that takes long to die: it is tried again
}

// Inherit finds what an earlier daemon of this instance has left, when it was killed
// or told to leave it. What was made or used for ports that stay is kept for them:
// Open takes it as it is, if it still fits. The rest is removed or put back as it was;
// of other instances it touches nothing. It returns how many devices that were. It is
// called before the first port is opened, and [Host.Disinherit] after the last that
// stood before.
func (h *Host) Inherit(ctx context.Context, stays func(Identity) bool) (removed int, err error) {
	all, nameless, err := h.leftovers(ctx)
	if err != nil {
		return 0, err
	}
	for id, list := range all {
		if !stays(id) {
			nameless = append(nameless, list...)
			delete(all, id)
		}
	}
	h.mu.Lock()
	h.left = all
	h.mu.Unlock()
	return len(nameless), h.remove(nameless)
}

// Disinherit removes what nobody came for.
func (h *Host) Disinherit() (removed int, err error) {
	h.mu.Lock()
	var rest []*leftover
	for id, list := range h.left {
		if slices.ContainsFunc(list, func(l *leftover) bool { return l.held }) {
			continue
		}
		rest = append(rest, list...)
		delete(h.left, id)
	}
	taken := h.taken
	h.taken = 0
	h.mu.Unlock()
	if taken > 0 {
		h.log.Info("took over what an earlier vswitchd left", "devices", taken)
	}
	return len(rest), h.remove(rest)
}

// inherited returns what is left for a port and fits what it is to hang on, and
// removes what does not. nil: nothing fits.
func (h *Host) inherited(id Identity, cfg Config) *leftover {
	h.mu.Lock()
	list := h.left[id]
	delete(h.left, id)
	h.mu.Unlock()
	var fits *leftover
	var others []*leftover
	for _, l := range list {
		same := l.alias == h.doneAlias(id, cfg) || l.used != nil && cfg.Kind == Dev && l.used.state.suits(cfg)
		if same && fits == nil {
			fits = l
		} else {
			others = append(others, l)
		}
	}
	h.discard(id, others)
	return fits
}

// leftIn reports whether something is left for a port in that very namespace, which has
// been the port's, then.
func (h *Host) leftIn(id Identity, at *Place) bool {
	number, err := h.numberOf(at.ns)
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.left[id], func(l *leftover) bool {
		return l.namespace == at.id || err == nil && l.link != nil && l.link.Type() == "veth" && l.link.Attrs().NetNsID == number
	})
}

// discard removes what is left of a port and cannot be taken.
func (h *Host) discard(id Identity, list []*leftover) {
	if err := h.remove(list); err != nil {
		h.log.Warn("not removed what an earlier vswitchd left", "port", id, "error", err)
	}
}

// adopt attaches a port to what is left for it; nil where that cannot be had, and it
// is removed. An error is for later: what is left is there, and is held by somebody.
func (h *Host) adopt(id Identity, cfg Config, at *Place) (*Attachment, error) {
	old := h.inherited(id, cfg)
	if old == nil {
		return nil, nil
	}
	from, handed := h.expects(id)
	if old.used != nil && !handed { // openDev finds it by its mark
		h.took()
		return nil, nil
	}
	var a *Attachment
	err := errors.New("the namespace is that of a process")
	switch {
	case handed && from.suits(at):
		a, err = h.takeHanded(id, cfg, from)
	case cfg.Kind == VM:
		a, err = h.adoptVM(id, old)
	case cfg.Kind == Veth:
		a, err = h.adoptVeth(id, cfg, at, old)
	case !at.once: // else nothing would tell of its end
		a, err = h.adoptTap(id, cfg, at, old)
	}
	switch {
	case err == nil:
		h.took()
		return a, nil
	case old.used != nil:
		return nil, nil // openDev says what is wrong
	case errors.Is(err, unix.EBUSY):
		old.held = true
		h.mu.Lock()
		h.left[id] = append(h.left[id], old)
		h.mu.Unlock()
		return nil, errorf(Refused, "the TAP %s is still held by a process, such as an earlier vswitchd that is ending: it is tried again", old.name)
	}
	h.log.Info("made anew, as what an earlier vswitchd left cannot be taken", "port", id, "reason", err)
	h.discard(id, []*leftover{old})
	return nil, nil
}

func (h *Host) took() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken++
}

// leftovers finds all, by port. nameless were marked half.
func (h *Host) leftovers(ctx context.Context) (all map[Identity][]*leftover, nameless []*leftover, err error) {
	all = make(map[Identity][]*leftover)
	add := func(l *leftover) {
		switch _, port, ok := aliasOwner(l.alias); {
		case l.used != nil:
			all[l.used.id] = append(all[l.used.id], l)
		case ok:
			id := identity(port)
			all[id] = append(all[id], l)
		default:
			nameless = append(nameless, l)
		}
	}
	links, err := h.conn.Links()
	if err != nil {
		return nil, nil, err
	}
	for _, link := range links {
		if l := h.leftover(link); l != nil {
			add(l)
		}
	}
	places, err := namespacesOf(h.self.ID())
	if err != nil {
		return nil, nil, err
	}
	for id, paths := range places {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		far, err := h.leftoverTaps(id, paths)
		if err != nil {
			h.log.Debug("not looked into a namespace", "path", paths[0], "error", err) // it is ending
		}
		for _, l := range far {
			add(l)
		}
	}
	return all, nameless, nil
}

// leftover makes one of a device here; nil: it is none.
func (h *Host) leftover(link netlink.Link) *leftover {
	a := link.Attrs()
	if h.made(a.Group, a.Alias) {
		return &leftover{index: a.Index, name: a.Name, alias: a.Alias, link: link}
	}
	for _, alt := range a.AltNames {
		if m, ok := parseDevMark(alt); ok && m.instance == h.instance {
			return &leftover{index: a.Index, name: a.Name, link: link, used: &m}
		}
	}
	return nil
}

// leftoverTaps finds TAPs that were moved into another namespace.
func (h *Host) leftoverTaps(id netns.ID, paths []string) (all []*leftover, err error) {
	err = h.within(paths, id, func(c *rtnl.Conn) error {
		links, err := c.Links()
		for _, link := range links {
			a := link.Attrs()
			if _, tap := link.(*netlink.Tuntap); tap && a.Alias != "" && h.made(a.Group, a.Alias) {
				all = append(all, &leftover{index: a.Index, name: a.Name, alias: a.Alias, namespace: id, paths: paths})
			}
		}
		return err
	})
	return all, err
}

// within runs fn with a connection in the namespace that is at one of the paths.
func (h *Host) within(paths []string, id netns.ID, fn func(c *rtnl.Conn) error) (err error) {
	for _, path := range paths {
		var ns *netns.NS
		if ns, err = netns.Open(path); err != nil {
			continue
		}
		if ns.ID() == id {
			defer ns.Close()
			return h.inside(ns, fn)
		}
		ns.Close()
		err = fmt.Errorf("%s is another namespace by now", path)
	}
	return err
}

// namespacesOf returns where the machine's network namespaces are found, but for one.
func namespacesOf(self netns.ID) (map[netns.ID][]string, error) {
	all := make(map[netns.ID][]string)
	for _, pattern := range []string{filepath.Join(netns.Dir, "*"), "/proc/[0-9]*/ns/net"} { // names are better than processes
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if id, ok := netns.Identify(path); ok && id != self {
				all[id] = append(all[id], path)
			}
		}
	}
	return all, nil
}

// remove deletes what was made, and puts back what was used.
func (h *Host) remove(all []*leftover) error {
	var made []int
	var errs []error
	for _, l := range all {
		switch {
		case l.used != nil:
			err := h.drop.remove(l.index, !l.used.state.clsact)
			if err == nil {
				err = h.putBack(l.link, l.used.state)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("put device %s back as it was: %w", l.name, err))
			}
		case len(l.paths) > 0:
			err := h.within(l.paths, l.namespace, func(c *rtnl.Conn) error { return ignoreMissing(c.Delete(l.index)) })
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				errs = append(errs, fmt.Errorf("remove the TAP %s in %s: %w", l.name, l.paths[0], err))
			}
		default:
			made = append(made, l.index)
		}
	}
	return errors.Join(append(errs, h.deleteMade(made))...)
}
