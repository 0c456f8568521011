package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What no station would send, into every kind of port: dropped and counted, or
// forwarded byte for byte, and the daemon goes on. The kernel refuses part of
// it before the switch can see it; TestHostile* of the package switch send that
// through the in-memory pair.

// watched reports, when t ends, whether the daemon or one of its ports was gone
// for an instant.
func (l *ledger) watched() {
	t := l.h.t
	t.Helper()
	pid := l.h.Pid()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://vswitchd/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	streams := http.Client{Transport: l.api.Transport} // without an end
	resp, err := streams.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	states := make(chan []event, 1)
	go func() {
		var all []event
		defer func() { states <- all }()
		for lines := json.NewDecoder(resp.Body); ; {
			var e event
			if lines.Decode(&e) != nil {
				return // the test has ended
			}
			if e.Kind == "port-state" {
				all = append(all, e)
			}
		}
	}()
	t.Cleanup(func() {
		resp.Body.Close()
		for _, e := range <-states {
			t.Errorf("a port went away: %+v", e)
		}
		if !l.h.Running() || l.h.Pid() != pid {
			t.Errorf("the daemon with pid %d is not there any more", pid)
		}
	})
}

// hostileFills make frames of any length, from the first octet or behind the
// addresses.
var hostileFills = []struct {
	name    string
	from    int
	pattern string
}{
	{"zeros", 0, "\x00"},
	{"ones", 0, "\xff"},
	{"an EtherType and zeros", addrLen, "\x08\x00\x00\x00"},
	{"tags of VLAN 1", addrLen, "\x81\x00\x00\x01"},
	{"tags of VLAN 256", addrLen, "\x81\x00\x01\x00"},
	{"TPIDs", addrLen, "\x81\x00"},
	{"service tags", addrLen, "\x88\xa8\x00\x01"},
	{"priority tags", addrLen, "\x81\x00\xe0\x00"},
	{"tags with VID 4095", addrLen, "\x81\x00\x0f\xff"},
	{"a priority tag, then a service tag", addrLen, "\x81\x00\x00\x00\x88\xa8\x00\x01"},
}

func hostileFrame(n, from int, pattern string) []byte {
	b := Eth{}.Bytes()[:min(n, from)]
	for len(b) < n {
		b = append(b, pattern[(len(b)-from)%len(pattern)])
	}
	return b
}

// hostileModes are policies under which a frame leaves as it came, but for a
// priority tag; each with the tags of one that passes.
var hostileModes = []struct {
	flags  string
	passes []Tag
}{
	{"--access 1", nil},
	{"--trunk all", Tags(C(256))},
	{"--trunk 256 --native 1", nil},
	{"--trunk all --tpid 0x88a8", Tags(S(256))},
	{"--tunnel 1", nil},
	{"--tunnel 1 --cvlans 0,256", nil},
}

func TestHostileLengthsAndTagStacks(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add(kind, "x")
			l.add(kind, "y")
			l.add("tap", "z")
			l.watched()
			for _, mode := range hostileModes {
				for _, port := range l.order {
					l.set(port, strings.Fields(mode.flags)...)
				}
				for _, fill := range hostileFills {
					l.h.Case(mode.flags+"/every length from 0 to 64: "+fill.name, func(*testing.T) {
						var frames [][]byte
						for n := range 65 {
							frames = append(frames, hostileFrame(n, fill.from, fill.pattern))
						}
						l.hostile(kind, frames, mode.passes)
					})
				}
				l.h.Case(mode.flags+"/tag stacks to the end of the frame", func(*testing.T) {
					var frames [][]byte
					for _, pattern := range []string{"\x81\x00\x00\x01", "\x81\x00\x01\x00", "\x88\xa8\x00\x01", "\x81\x00\x00\x00"} {
						for _, tags := range []int{1, 2, 3, 7, 8, 9, 10, 33, 374} {
							for more := range 4 {
								frames = append(frames, hostileFrame(addrLen+tagLen*tags+more, addrLen, pattern))
							}
						}
					}
					l.hostile(kind, frames, mode.passes)
				})
			}
			l.close()
		})
	}
}

// hostile sends frames in by x, and one that passes behind them. Those that
// the kernel lets pass are received; each is dropped there, and counted, or
// comes out of y and z as it went in, but for a priority tag at its front, or is
// dropped there, and counted.
func (l *ledger) hostile(kind string, frames [][]byte, passes []Tag) {
	t := l.h.t
	t.Helper()
	var sent [][]byte
	malformed := 0 // those that the kernel drops when it takes off their tag
	mark := Eth{Src: l.station(), Tags: passes, Payload: "the end"}.Bytes()
	for _, f := range append(frames, mark) {
		if err := l.ends["x"].TrySend(f); (err != nil) != (len(f) < minimumSize) {
			t.Fatalf("x: send %s: %v", Describe(f), err)
		} else if err == nil && (kind == "tap" || !outcut(f)) {
			sent = append(sent, f)
			if outcut(f) || outcut(withoutPriority(f)) {
				malformed++
			}
		}
	}
	var now map[string]tally
	err := poll(countTime, func() error {
		now = l.read()
		if got := now["x"].Counters.RxFrames - l.last["x"].Counters.RxFrames; got != uint64(len(sent)) {
			return fmt.Errorf("%d frames were received, want %d", got, len(sent))
		}
		dropped := l.dropped(now, "x")
		for _, port := range []string{"y", "z"} {
			out := now[port].Counters.TxFrames - l.last[port].Counters.TxFrames
			if lost := l.dropped(now, port); dropped+out+lost != uint64(len(sent)) {
				return fmt.Errorf("of %d frames %d were dropped at x; %d came out of %s, %d were dropped there", len(sent), dropped, out, port, lost)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, port := range []string{"y", "z"} {
		rest, arrived := sent, 0
		for {
			got, err := l.ends[port].next(countTime)
			if err != nil {
				t.Fatal(err)
			}
			arrived++
			if bytes.Equal(got.Bytes, mark) {
				break
			}
			i := slices.IndexFunc(rest, func(f []byte) bool {
				return bytes.Equal(f, got.Bytes) || bytes.Equal(withoutPriority(f), got.Bytes)
			})
			if i < 0 {
				t.Fatalf("%s: a frame that nobody has sent, or that is changed:\n%x", port, got.Bytes)
			}
			rest = rest[i+1:]
		}
		if out := int(now[port].Counters.TxFrames - l.last[port].Counters.TxFrames); arrived > out || arrived < out-malformed {
			t.Errorf("%s: %d frames arrived of %d sent, of which the kernel may have dropped %d at the most", port, arrived, out, malformed)
		}
	}
	l.last = now
}

// dropped is how many frames a port has dropped since the last row.
func (l *ledger) dropped(now map[string]tally, port string) (n uint64) {
	for reason, count := range now[port].Counters.Drops {
		n += count - l.last[port].Counters.Drops[reason]
	}
	return n
}

// outcut reports whether a frame ends in its outermost tag, or so close behind
// that the kernel does not move the tag aside, but drops the frame (see
// modeRow).
func outcut(f []byte) bool {
	return isTag(f) && len(f) < addrLen+tagLen+4
}

func isTag(f []byte) bool {
	if len(f) < minimumSize {
		return false
	}
	tpid := binary.BigEndian.Uint16(f[addrLen:])
	return tpid == TypeCTag || tpid == TypeSTag
}

func withoutPriority(f []byte) []byte {
	if !isTag(f) || len(f) < addrLen+tagLen || binary.BigEndian.Uint16(f[addrLen+2:])&0xfff != 0 {
		return f
	}
	return slices.Delete(bytes.Clone(f), addrLen, addrLen+tagLen)
}

// lies are offload headers that contradict the frame they come with. What the
// kernel takes of them differs with its version, with what it takes them for
// (a sending stack's own, or a guest's), and with what it must do with them; the
// log says what became of each. Whatever it is, no frame but the lie itself
// suffers, and all that the switch receives is forwarded or counted.
var lies = []struct {
	name string
	offloaded
	bad bool // the kernel takes it from a VM's monitor, and it is the switch that refuses it
}{
	{"unknown flags", lie(func(o *Offload) { o.Flags |= 0x80 }), false},
	{"an unknown type", lie(func(o *Offload) { o.GSOType = 2 }), false},
	{"all types at once", lie(func(o *Offload) { o.GSOType = 0xff }), false},
	{"ECN alone", lie(func(o *Offload) { o.GSOType = 0x80 }), false},
	{"UFO", offloaded{Offload{Flags: 1, GSOType: gsoUDP, GSOSize: 1000, CsumStart: 34, CsumOffset: 6}, long(3000)}, true},
	{"UDP's type on TCP", lie(func(o *Offload) { o.GSOType = gsoUDPL4 }), false},
	{"IPv6's type on IPv4", lie(func(o *Offload) { o.GSOType = gsoTCPv6 }), false},
	{"TCP's type on no IP at all", offloaded{super(gsoTCPv4, 2000, 1000).Offload, long(2000)}, false},
	{"no checksum to complete", lie(func(o *Offload) { o.Flags, o.CsumStart, o.CsumOffset = 0, 0, 0 }), false},
	{"segments of nothing", lie(func(o *Offload) { o.GSOSize = 0 }), false},
	{"segments of one octet", lie(func(o *Offload) { o.GSOSize = 1 }), true},
	{"segments of 63 octets", lie(func(o *Offload) { o.GSOSize = 63 }), true},
	{"segments of 64 octets", lie(func(o *Offload) { o.GSOSize = 64 }), false},
	{"segments of 65535 octets", lie(func(o *Offload) { o.GSOSize = 0xffff }), false},
	{"headers longer than the frame", lie(func(o *Offload) { o.HdrLen = 0xffff }), false},
	{"no headers", lie(func(o *Offload) { o.HdrLen = 0 }), false},
	{"a checksum from the first octet", lie(func(o *Offload) { o.CsumStart = 0 }), false},
	{"a checksum from inside the IP header", lie(func(o *Offload) { o.CsumStart = 20 }), false},
	{"a checksum past the end", lie(func(o *Offload) { o.CsumStart = 0xffff }), false},
	{"a checksum far past the end", lie(func(o *Offload) { o.CsumOffset = 0xffff }), false},
	{"a checksum from inside the tags", offloaded{Offload{Flags: 1, CsumStart: 20, CsumOffset: 2}, long(200, C(1), C(2), C(3))}, true},
	{"a checksum in its last octets", offloaded{Offload{Flags: 1, CsumStart: 100, CsumOffset: 98}, long(200)}, false},
	{"a checksum half behind the end", offloaded{Offload{Flags: 1, CsumStart: 100, CsumOffset: 99}, long(200)}, false},
}

func lie(change func(*Offload)) offloaded {
	o := super(gsoTCPv4, 2000, 1000)
	change(&o.Offload)
	return o
}

func TestHostileOffloadHeaders(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			l.add(kind, "x", "--tunnel", "1")
			l.add(kind, "y", "--tunnel", "1")
			l.add("tap", "z", "--tunnel", "1")
			l.watched()
			for _, c := range lies {
				l.h.Case(c.name, func(*testing.T) {
					got := l.lied(c.offloaded)
					if kind == "vm" && (got == "bad-offload") != c.bad {
						l.h.t.Errorf("it was %s; want bad-offload: %v", got, c.bad)
					}
					l.h.t.Logf("it was %s", got)
				})
			}
			l.close()
		})
	}
}

// lied sends a lie between two honest frames, and says what became of it.
func (l *ledger) lied(o offloaded) (became string) {
	t := l.h.t
	t.Helper()
	honest := Eth{Src: l.station(), Payload: "honest"}.Bytes()
	if err := l.ends["x"].SendOffload(Offload{}, honest); err != nil {
		t.Fatal(err)
	}
	refused := l.ends["x"].SendOffload(o.Offload, o.frame)
	mark := Eth{Src: l.station(), Payload: "the end"}.Bytes()
	if err := l.ends["x"].SendOffload(Offload{}, mark); err != nil {
		t.Fatal(err)
	}
	became = "dropped by the kernel"
	if refused != nil {
		became = "refused by the kernel: " + refused.Error()
	}
	for _, port := range []string{"y", "z"} {
		if got, err := l.ends[port].next(countTime); err != nil || !bytes.Equal(got.Bytes, honest) {
			t.Fatalf("%s: got %x, %v, want the honest frame", port, got.Bytes, err)
		}
		for n := 0; ; n++ {
			got, err := l.ends[port].next(countTime)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(got.Bytes, mark) {
				break
			}
			if bytes.Equal(got.Bytes, o.frame) {
				became = "forwarded"
			} else {
				became = "cut by the kernel"
			}
			if c := got.Offload; int(c.HdrLen) > len(got.Bytes) || c.Flags&1 != 0 && int(c.CsumStart)+int(c.CsumOffset)+2 > len(got.Bytes) {
				t.Errorf("%s: %d octets came out with %+v", port, len(got.Bytes), c)
			}
		}
	}
	var now map[string]tally
	err := poll(countTime, func() error {
		now = l.read()
		received := now["x"].Counters.RxFrames - l.last["x"].Counters.RxFrames
		dropped := l.dropped(now, "x")
		for _, port := range []string{"y", "z"} {
			out := now[port].Counters.TxFrames - l.last[port].Counters.TxFrames
			if lost := l.dropped(now, port); dropped+out+lost != received || received < 2 {
				return fmt.Errorf("of %d frames %d were dropped at x; %d came out of %s, %d were dropped there", received, dropped, out, port, lost)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for reason, n := range now["x"].Counters.Drops {
		if n > l.last["x"].Counters.Drops[reason] {
			became = reason
		}
	}
	for _, port := range []string{"y", "z"} {
		for reason, n := range now[port].Counters.Drops {
			if n > l.last[port].Counters.Drops[reason] {
				became = reason + " at " + port
			}
		}
	}
	l.last = now
	return became
}

// A frame that the kernel moves and cannot describe (UFO here) is told to
// whoever calls for the socket next. It is counted where it came from, and
// nothing else is lost for it.
func TestFramesThatCannotBeDescribed(t *testing.T) {
	h := NewHost(t, Fast)
	l := newLedgerOn(h)
	l.add("vm", "p1")
	l.add("veth", "p2")
	a, b := l.station(), l.station()
	l.told("p1", a)
	l.told("p2", b)
	l.last = l.read()

	innocent, stop := 0, make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		f := Eth{Src: b, Dst: a, Payload: "innocent"}.Bytes()
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Microsecond):
			}
			if l.ends["p2"].TrySend(f) == nil {
				innocent++
			}
		}
	})
	ufo := super(gsoTCPv4, 4000, 1400)
	ufo.frame[minimumSize+9], ufo.GSOType, ufo.CsumOffset = unix.IPPROTO_UDP, gsoUDP, 6
	good := Eth{Src: a, Dst: b, Payload: "good"}.Bytes()
	const pairs = 2000
	for range pairs {
		for _, o := range []offloaded{{frame: good}, ufo} {
			if err := l.ends["p1"].SendOffload(o.Offload, o.frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.Eventually(0, func() error {
		p1 := l.read()["p1"].Counters
		if rx, bad := p1.RxFrames-l.last["p1"].Counters.RxFrames, p1.Drops["bad-offload"]; rx != 2*pairs || bad != pairs {
			return fmt.Errorf("%d frames were received and %d of them bad-offload, want %d and %d", rx, bad, 2*pairs, pairs)
		}
		return nil
	})
	close(stop)
	sending.Wait()
	h.Eventually(0, func() error {
		p1 := l.read()["p1"].Counters
		if tx, full := p1.TxFrames-l.last["p1"].Counters.TxFrames, p1.Drops["tx-full"]; tx+full != uint64(innocent) || p1.Drops["tx-error"] != 0 {
			return fmt.Errorf("of %d frames to p1 were %d sent, %d tx-full, %d tx-error", innocent, tx, full, p1.Drops["tx-error"])
		}
		return nil
	})
}
