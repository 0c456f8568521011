package port

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/rtnl"
)

// passing are the flags of a device that frames can pass. A carrier that comes
// on is IFF_LOWER_UP at once, but the device gets the queue that it sends by,
// and IFF_RUNNING, only when the kernel's linkwatch has come by. Until then
// what is given to it to send is dropped without a word (noop_qdisc; see
// net/core/link_watch.c and net/sched/sch_generic.c).
const passing = unix.IFF_LOWER_UP | unix.IFF_RUNNING

func passes(rawFlags uint32) bool { return rawFlags&passing == passing }

// awaitQueue waits until a device whose carrier came on has a queue, so that
// whoever was told that the port is there can send at once. One without
// carrier is not waited for, nor is the kernel for longer than a second.
func awaitQueue(c *rtnl.Conn, namespace, index int) {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		link, err := c.LinkIn(namespace, index)
		if err != nil {
			return
		}
		flags := link.Attrs().RawFlags
		if flags&unix.IFF_LOWER_UP == 0 || passes(flags) {
			return
		}
		time.Sleep(100 * time.Microsecond) // linkwatch tells nobody that it is under way
	}
}
