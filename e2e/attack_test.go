package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// One station invents 500,000 addresses. Two others keep talking meanwhile;
// the attacker hears nothing of it, and the memory stays where the limit puts
// it, whatever that is set to on the way.
func TestFDBUnderAttack(t *testing.T) {
	const addresses, window = 500_000, 2_000
	h := NewHost(t, Fast)
	l := newLedgerOn(h)
	for _, p := range []string{"p1", "p2", "p3"} {
		l.add("veth", p)
	}
	attacker, a, b := l.ends["p1"], l.ends["p2"], l.ends["p3"]
	alice, bob, mallory := l.station(), l.station(), l.station()
	l.static(mallory, 1, "--port", "p1")
	l.told("p2", alice)
	l.told("p3", bob)
	attacker.Drain()

	var talked atomic.Int64
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := saysTo(a, b, alice, bob); err != nil {
				stopped <- err
				return
			}
			if err := saysTo(b, a, bob, alice); err != nil {
				stopped <- err
				return
			}
			talked.Add(1)
		}
	}()

	// Frames from mallory's inventions go to mallory, which bothers nobody, to
	// nobody, and to all. Mallory's entry is static, because the inventions
	// would evict it first.
	towards := [64][]byte{
		7:  Eth{Dst: MAC(9 << 24)}.Bytes(),
		42: Eth{}.Bytes(),
	}
	for i := range towards {
		if towards[i] == nil {
			towards[i] = Eth{Dst: mallory}.Bytes()
		}
	}
	invent := func(from, to int) {
		t.Helper()
		before, lostBefore := l.read()["p1"].Counters.RxFrames, h.backlogDrops("sw0-p1")
		for n := from; n < to; n++ {
			frame := towards[n%len(towards)]
			copy(frame[6:], []byte{invented, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
			if err := attacker.TrySend(frame); err != nil {
				t.Fatal(err)
			}
			if (n+1)%window == 0 { // all are to be seen, so the switch may lose none
				sent := uint64(n + 1 - from)
				h.Eventually(0, func() error {
					c := l.read()["p1"].Counters
					if came := c.RxFrames - before; came != sent && came+h.backlogDrops("sw0-p1")-lostBefore != sent {
						return fmt.Errorf("of %d frames of the attacker %d have come in, %d were lost", sent, came, c.Drops["rx-full"])
					}
					return nil
				})
			}
		}
	}
	holds := func(want uint64) {
		t.Helper()
		s := l.stats()
		if s["dynamic"] != want || s["size"] != want {
			t.Errorf("the table holds %d of %d entries, want it full with %d", s["dynamic"], s["size"], want)
		}
		l.wantKnown(alice, "p2 dynamic")
		l.wantKnown(bob, "p3 dynamic")
	}
	invent(0, 50_000) // the table is full, and its garbage collected
	holds(16384)
	settled := rss(t, h.Pid())
	invent(50_000, 400_000)
	holds(16384)
	if now := rss(t, h.Pid()); now > settled+8<<10 {
		t.Errorf("the daemon's memory went from %d to %d KiB while the table was full", settled, now)
	}
	h.VS("switch", "set", "sw0", "--fdb-size", "1000")
	invent(400_000, 450_000)
	holds(1000)
	h.VS("switch", "set", "sw0", "--fdb-size", "20000")
	invent(450_000, addresses)
	holds(20000)
	if now := rss(t, h.Pid()); now > settled+16<<10 {
		t.Errorf("the daemon's memory went from %d to %d KiB", settled, now)
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Errorf("alice and bob: %v", err)
	}
	if n := talked.Load(); n < 100 {
		t.Errorf("alice and bob said something to each other %d times only", n)
	}
	// The attacker has heard nothing in all that time.
	a.Drain()
	l.ends["p1"].Send(Eth{Src: mallory, Dst: alice, Payload: "the last word"})
	a.Expect(Eth{Src: mallory, Dst: alice, Payload: "the last word"})
	a.Send(Eth{Src: alice, Dst: mallory, Payload: "the answer"})
	attacker.Expect(Eth{Src: alice, Dst: mallory, Payload: "the answer"})
	t.Logf("%d exchanges; memory %d KiB when full, %d at the end; %v", talked.Load(), settled, rss(t, h.Pid()), l.stats())
}

// backlogDrops returns how many frames to a device the kernel has dropped before anybody
// could see them: all programs of a machine fill one queue for each processor
// (netdev_max_backlog).
func (h *Host) backlogDrops(ifname string) uint64 {
	h.t.Helper()
	var links []struct {
		Stats struct{ RX struct{ Dropped uint64 } } `json:"stats64"`
	}
	out := h.Run("ip", "-j", "-s", "link", "show", "dev", ifname)
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) != 1 {
		h.t.Fatalf("ip -s link: %v in\n%s", err, out)
	}
	return links[0].Stats.RX.Dropped
}

// invented is the first octet of addresses that nobody has.
const invented = 0x06

// saysTo sends a frame from one station to another, and wants it to arrive.
func saysTo(from, to farEnd, src, dst string) error {
	e := Eth{Src: src, Dst: dst, Payload: "between us " + strconv.FormatInt(time.Now().UnixNano(), 10)}
	if err := from.TrySend(e); err != nil {
		return err
	}
	got, err := to.next(Patience)
	for err == nil && got.Bytes[6] == invented { // flooded
		got, err = to.next(Patience)
	}
	if err != nil {
		return err
	}
	if string(got.Bytes) != string(e.Bytes()) {
		return fmt.Errorf("%s: %s", to, difference(got.Bytes, e.Bytes()))
	}
	return nil
}

var rssLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// rss returns how much memory a process has, in KiB.
func rss(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := rssLine.FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in\n%s", status)
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
