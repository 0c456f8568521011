package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A busy port gets a receive ring, and gives it back when it is quiet again. No
// frame is lost or comes twice on the way, and none of another's overtakes it.
func TestBusyPortGetsARing(t *testing.T) {
	h := NewHost(t, Fast, NoDaemon)
	h.Start("--rx-ring-rate", "2000", "--log-level", "debug")
	l := newLedgerOn(h)
	for _, p := range []string{"p1", "p2"} {
		l.add("veth", p, "--mtu", "9000")
	}
	b := l.station()
	l.told("p2", b)
	l.last = l.read()
	settled := rss(t, h.Pid())
	from, to := l.ends["p1"], l.ends["p2"]
	send := func(first, n int) {
		t.Helper()
		for i := range n {
			f := Eth{Src: MAC(1 << 24), Dst: b, Payload: fmt.Sprintf("frame %d", first+i)}
			if i%10 == 0 {
				f.Payload += strings.Repeat(" ", 3000) // more than a slot holds
			}
			if err := from.TrySend(f.Bytes()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			got, err := to.next(Patience)
			if err != nil {
				t.Fatalf("frame %d: %v", first+i, err)
			}
			want := fmt.Sprintf("frame %d", first+i)
			if text := string(got.Bytes[minimumSize:]); len(text) < len(want) || text[:len(want)] != want {
				t.Fatalf("%.20q came, want %q", text, want)
			}
		}
	}
	sent := 0
	for deadline := time.Now().Add(Patience); !h.logged("port is boosted"); sent += 500 {
		if time.Now().After(deadline) {
			t.Fatal("the port gets no ring")
		}
		send(sent, 500)
	}
	send(sent, 5000)
	sent += 5000
	h.Process().Expect(t, "port is no longer boosted")
	send(sent, 100)
	sent += 100
	h.Eventually(0, func() error {
		c := l.read()
		if rx, tx := c["p1"].Counters.RxFrames-l.last["p1"].Counters.RxFrames, c["p2"].Counters.TxFrames-l.last["p2"].Counters.TxFrames; rx != uint64(sent) || tx != uint64(sent) {
			return fmt.Errorf("%d frames were received and %d sent, want %d", rx, tx, sent)
		}
		return nil
	})
	if now := rss(t, h.Pid()); now > settled+6<<10 {
		t.Errorf("the daemon's memory went from %d to %d KiB, though the ring was given back", settled, now)
	}
}

// logged reports whether the daemon has logged a text.
func (d *Daemon) logged(text string) bool { return strings.Contains(d.Log(), text) }

// A frame that the kernel cannot describe leaves a ring stuck. The port goes on
// without one.
func TestRingThatIsStuck(t *testing.T) {
	h := NewHost(t, Fast, NoDaemon)
	h.Start("--rx-ring-rate", "1", "--log-level", "debug")
	l := newLedgerOn(h)
	l.add("vm", "p1")
	l.add("tap", "p2")
	b := l.station()
	l.told("p2", b)
	good := Eth{Src: MAC(1 << 24), Dst: b, Payload: "good"}
	l.ends["p1"].Send(good)
	l.ends["p2"].Expect(good)
	h.Process().Expect(t, `"port is boosted" port=sw0/p1`)
	ufo := super(gsoTCPv4, 4000, 1400)
	ufo.frame[minimumSize+9], ufo.GSOType, ufo.CsumOffset = unix.IPPROTO_UDP, gsoUDP, 6
	if err := l.ends["p1"].SendOffload(ufo.Offload, ufo.frame); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	h.Eventually(0, func() error {
		l.ends["p1"].Send(good) // lost, and what makes it noticed
		if !h.logged("port is no longer boosted") {
			return errors.New("the port still has its ring")
		}
		return nil
	})
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v until the port did without the ring", took)
	}
	for range 3 {
		l.ends["p1"].Send(good)
		l.ends["p2"].Expect(good)
	}
	if n := strings.Count(h.Log(), `"port is boosted" port=sw0/p1`); n != 1 {
		t.Errorf("the port got a ring %d times, want once", n)
	}
}

// A ring that overflows loses frames, and is not taken for stuck.
func TestRingThatOverflows(t *testing.T) {
	h := NewHost(t, Fast, NoDaemon)
	h.Start("--rx-ring-rate", "1", "--log-level", "debug")
	l := newLedgerOn(h)
	l.add("veth", "p1")
	l.add("veth", "p2")
	b := l.station()
	l.told("p2", b)
	l.last = l.read()
	good := Eth{Src: MAC(1 << 24), Dst: b, Payload: "good"}
	l.ends["p1"].Send(good)
	l.ends["p2"].Expect(good)
	h.Process().Expect(t, `"port is boosted" port=sw0/p1`)
	const sent = 6000 // more than there are slots
	h.Process().Signal(unix.SIGSTOP)
	for range sent {
		l.ends["p1"].Send(good)
	}
	h.Process().Signal(unix.SIGCONT)
	h.Process().Expect(t, `"port is no longer boosted" port=sw0/p1`)
	if h.logged("a receive ring cannot take") {
		t.Error("a full ring was taken for stuck")
	}
	c := l.read()["p1"].Counters
	last := l.last["p1"].Counters
	if rx, full := c.RxFrames-last.RxFrames-1, c.Drops["rx-full"]-last.Drops["rx-full"]; rx+full != sent || full == 0 {
		t.Errorf("of %d frames, %d were received and %d found no room", sent, rx, full)
	}
}
