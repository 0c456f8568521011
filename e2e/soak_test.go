package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a soak is made of.
const (
	soakVLANs    = 8
	soakStations = 4 // a VLAN
	soakOthers   = 32
	soakPause    = 10 * time.Millisecond  // from frame to frame of a station
	soakChange   = 100 * time.Millisecond // from change to change
	soakFirst    = 10                     // the first VLAN
)

// soak is traffic whose every frame is judged, while ports are changed beside it.
type soak struct {
	h        *Host
	stations []*soaker
	stop     chan struct{}
	running  sync.WaitGroup

	sent, arrived, flooded atomic.Int64
	warm                   atomic.Bool // all stations are known to the switch
	mu                     sync.Mutex
	problems               []string
}

// soaker is a station of it.
type soaker struct {
	*Station
	vlan, index int
	peers       []*soaker // of its VLAN, itself among them
	last        map[string]int
}

func (s *soak) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 20 {
		s.problems = append(s.problems, fmt.Sprintf(format, args...))
	}
}

// send sends to each peer in turn, and each hundredth frame to all.
func (s *soak) send(st *soaker) {
	tick := time.NewTicker(soakPause)
	defer tick.Stop()
	numbers := make(map[string]int)
	for n := 0; ; n++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		to := st.peers[n%len(st.peers)]
		dst := to.Address
		copies := 1
		if to == st || n%100 == 0 {
			dst, copies = "ff:ff:ff:ff:ff:ff", len(st.peers)-1
		}
		numbers[dst]++
		words := fmt.Sprintf("soak %d %s %s %d %t %s", st.vlan, st.Address, dst, numbers[dst], s.warm.Load(), strings.Repeat("x", rand.IntN(1000)))
		sum := sha256.Sum256([]byte(words))
		if err := st.TrySend(Eth{Src: st.Address, Dst: dst, Payload: words + " " + hex.EncodeToString(sum[:]) + "#"}); err != nil {
			s.wrong("%s sends: %v", st, err)
			continue
		}
		s.sent.Add(int64(copies))
	}
}

// receive judges what arrives, until a moment after all have stopped.
func (s *soak) receive(st *soaker, over <-chan struct{}) {
	for {
		r, ok, more, err := st.take()
		if ok {
			s.judge(st, r.Bytes)
			continue
		}
		if err != nil {
			s.wrong("%s: %v", st, err)
			return
		}
		select {
		case <-over:
			return
		case <-more:
		}
	}
}

func (s *soak) judge(st *soaker, frame []byte) {
	at := strings.Index(string(frame), "soak ")
	end := strings.LastIndexByte(string(frame), '#')
	if strings.Contains(string(frame), "learn ") {
		return // by which the harness has a station known
	}
	if at < 0 || end < at {
		s.wrong("%s gets what nobody has sent: %x", st, frame[:min(len(frame), 60)])
		return
	}
	text := string(frame[at:end])
	cut := strings.LastIndexByte(text, ' ')
	words := text[:max(cut, 0)]
	if sum := sha256.Sum256([]byte(words)); hex.EncodeToString(sum[:]) != text[cut+1:] {
		s.wrong("%s gets a damaged frame: %.80s", st, words)
		return
	}
	var vlan, n int
	var from, to string
	var warm bool // when it was sent
	if _, err := fmt.Sscanf(words, "soak %d %s %s %d %t", &vlan, &from, &to, &n, &warm); err != nil {
		s.wrong("%s: %v", st, err)
		return
	}
	switch {
	case vlan != st.vlan:
		s.wrong("%s, of VLAN %d, gets a frame of VLAN %d", st, st.vlan, vlan)
		return
	case to != st.Address && to != "ff:ff:ff:ff:ff:ff":
		s.flooded.Add(1)
		if warm {
			s.wrong("%s gets what %s has sent to %s, whom the switch knows", st, from, to)
		}
		return
	}
	flow := from + " " + to
	if want := st.last[flow] + 1; n != want {
		s.wrong("%s gets number %d of %s, and %d was due", st, n, flow, want)
	}
	st.last[flow] = n
	s.arrived.Add(1)
}

// change makes one change, of those that leave the stations' ports alone.
func (s *soak) change(n int) {
	h := s.h
	port := fmt.Sprint("other", n/6%soakOthers)
	vlan := strconv.Itoa(soakFirst + n%soakVLANs)
	switch n % 6 {
	case 0:
		h.VS("port", "add", port, []string{"--veth", "--tap"}[n/6%2], "--netns", port, "--access", vlan, "--may-exist")
	case 1:
		h.VS("port", "set", port, "--access", vlan, "--isolated")
	case 2:
		h.VS("port", "impair", port, "delay", "5ms")
	case 3:
		h.VS("fdb", "add", MAC(n%1000+1), "--vlan", vlan, "--port", port, "--may-exist")
	case 4:
		h.VS("profile", "add", "soak", "--access", vlan, "--may-exist")
		h.VS("port", "set", port, "--profile", "soak")
		h.VS("profile", "set", "soak", "--access", strconv.Itoa(soakFirst+(n+1)%soakVLANs))
	case 5:
		h.VS("port", "del", port)
		h.VS("profile", "del", "soak")
	}
}

// TestSoak runs for some seconds, or as long as SOAK in the environment says: 64
// ports, ten changes a second, and no frame damaged, lost, at a wrong port, in a wrong
// VLAN, or out of its order.
func TestSoak(t *testing.T) {
	length := 5 * time.Second
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK: %v", err)
		}
	}
	h := NewHost(t, Fast)
	s := &soak{h: h, stop: make(chan struct{})}
	for v := range soakVLANs {
		var peers []*soaker
		for i := range soakStations {
			name := fmt.Sprintf("s%d-%d", v, i)
			ns := h.Quiet(name)
			h.VS("port", "add", name, []string{"--veth", "--tap"}[i%2], "--netns", name, "--access", strconv.Itoa(soakFirst+v))
			peers = append(peers, &soaker{Station: ns.Station("eth0"), vlan: soakFirst + v, index: i, last: make(map[string]int)})
		}
		for _, p := range peers {
			p.peers = peers
		}
		s.stations = append(s.stations, peers...)
	}
	for i := range soakOthers {
		h.Quiet(fmt.Sprint("other", i))
	}
	over := make(chan struct{})
	var receiving sync.WaitGroup
	for _, st := range s.stations {
		st.Learn(st.Address)
		receiving.Go(func() { s.receive(st, over) })
		s.running.Go(func() { s.send(st) })
	}
	h.Eventually(0, func() error {
		if n := len(h.FDB()); n < len(s.stations) {
			return fmt.Errorf("%d of %d stations are known", n, len(s.stations))
		}
		return nil
	})
	s.warm.Store(true)

	begin, changes := time.Now(), 0
	memory := &slope{}
	for tick := time.NewTicker(soakChange); time.Since(begin) < length; <-tick.C {
		s.change(changes)
		changes++
		if changes%50 == 0 && time.Since(begin) > length/4 {
			memory.add(time.Since(begin), rss(t, h.Pid()))
		}
	}
	close(s.stop)
	s.running.Wait()
	h.Eventually(0, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if got, want := s.arrived.Load(), s.sent.Load(); got < want && len(s.problems) == 0 {
			return fmt.Errorf("%d of %d frames have arrived", got, want)
		}
		return nil
	})
	close(over)
	receiving.Wait()
	for _, p := range s.problems {
		t.Error(p)
	}
	perHour := memory.perHour()
	t.Logf("%v, %d ports, %d changes: %d frames sent and %d arrived; %d were flooded before their stations were known; memory %d KiB, %+.2f MiB an hour",
		length, len(s.stations)+soakOthers, changes, s.sent.Load(), s.arrived.Load(), s.flooded.Load(), rss(t, h.Pid()), perHour)
	if length >= 30*time.Minute && perHour > 1 {
		t.Errorf("the memory grows by %.2f MiB an hour", perHour)
	}
}

// slope finds how fast something grows, by least squares.
type slope struct{ n, x, y, xx, xy float64 }

func (s *slope) add(at time.Duration, kib int) {
	x, y := at.Hours(), float64(kib)/1024
	s.n++
	s.x += x
	s.y += y
	s.xx += x * x
	s.xy += x * y
}

// perHour returns it in MiB an hour; 0 where too little is known.
func (s *slope) perHour() float64 {
	d := s.n*s.xx - s.x*s.x
	if s.n < 3 || d == 0 {
		return 0
	}
	return (s.n*s.xy - s.x*s.y) / d
}
