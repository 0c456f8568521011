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
	soakStations = 4 // a VLAN, whose ports stay as they are
	soakVisitors = 32
	soakPause    = 10 * time.Millisecond  // from frame to frame of a station
	soakChange   = 100 * time.Millisecond // from change to change
	soakFirst    = 10                     // the first VLAN
)

// soak is traffic whose every frame is judged, at each of the ports, while half of them
// are changed.
type soak struct {
	h        *Host
	stations []*soaker
	visitors []*visitor
	stop     chan struct{} // closed when nothing more is to be sent
	over     chan struct{} // closed when nothing more is to arrive
	running  sync.WaitGroup
	hearing  sync.WaitGroup

	sent, arrived, visits atomic.Int64
	warm                  atomic.Bool // all stations are known to the switch
	mu                    sync.Mutex
	problems              []string
}

// soaker is a station of it.
type soaker struct {
	*Station
	vlan  int
	peers []*soaker // of its VLAN, itself among them
	last  map[string]int
}

// soakFrame is what a frame says of itself.
type soakFrame struct {
	vlan     int
	from, to string
	n        int   // of its flow
	warm     bool  // all stations were known when it was sent
	at       int64 // when that was, in nanoseconds
}

func (f *soakFrame) flow() string { return f.from + " " + f.to }

func (f *soakFrame) forAll() bool { return f.to == "ff:ff:ff:ff:ff:ff" }

func (f *soakFrame) text() string {
	words := fmt.Sprintf("soak %d %s %s %d %t %d %s", f.vlan, f.from, f.to, f.n, f.warm, f.at, strings.Repeat("x", rand.IntN(1000)))
	sum := sha256.Sum256([]byte(words))
	return words + " " + hex.EncodeToString(sum[:]) + "#"
}

// readSoak reads a frame, and reports whether it is one to be judged, and whole.
func (s *soak) readSoak(at fmt.Stringer, bytes []byte) (f soakFrame, ok bool) {
	all := string(bytes)
	begin, end := strings.Index(all, "soak "), strings.LastIndexByte(all, '#')
	if strings.Contains(all, "learn ") {
		return f, false // by which the harness has a station known
	}
	if begin < 0 || end < begin {
		s.wrong("%s gets what nobody has sent: %x", at, bytes[:min(len(bytes), 60)])
		return f, false
	}
	text := all[begin:end]
	cut := strings.LastIndexByte(text, ' ')
	words := text[:max(cut, 0)]
	if sum := sha256.Sum256([]byte(words)); hex.EncodeToString(sum[:]) != text[cut+1:] {
		s.wrong("%s gets a damaged frame: %.80s", at, words)
		return f, false
	}
	if _, err := fmt.Sscanf(words, "soak %d %s %s %d %t %d", &f.vlan, &f.from, &f.to, &f.n, &f.warm, &f.at); err != nil {
		s.wrong("%s: %v", at, err)
		return f, false
	}
	return f, true
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
		to, copies := st.peers[n%len(st.peers)], 1
		f := soakFrame{vlan: st.vlan, from: st.Address, to: to.Address, warm: s.warm.Load()}
		if to == st || n%100 == 0 {
			f.to, copies = "ff:ff:ff:ff:ff:ff", len(st.peers)-1
		}
		numbers[f.to]++
		f.n, f.at = numbers[f.to], time.Now().UnixNano()
		if err := st.TrySend(Eth{Src: f.from, Dst: f.to, Payload: f.text()}); err != nil {
			s.wrong("%s sends: %v", st, err)
			continue
		}
		s.sent.Add(int64(copies))
	}
}

// hear has what arrives judged, until a moment after all have stopped, or the wire ends.
func (s *soak) hear(in *inbox, judge func([]byte), ended func(error)) {
	for {
		r, ok, more, err := in.take()
		if ok {
			judge(r.Bytes)
			continue
		}
		if err != nil {
			ended(err)
			return
		}
		select {
		case <-s.over:
			return
		case <-more:
		}
	}
}

// judge judges what arrives at a station: its own VLAN's frames for it and for all,
// each, and in order.
func (s *soak) judge(st *soaker, bytes []byte) {
	f, ok := s.readSoak(st, bytes)
	switch {
	case !ok:
		return
	case f.vlan != st.vlan:
		s.wrong("%s, of VLAN %d, gets a frame of VLAN %d", st, st.vlan, f.vlan)
		return
	case f.to != st.Address && !f.forAll():
		if f.warm {
			s.wrong("%s gets what %s has sent to %s, whom the switch knows", st, f.from, f.to)
		}
		return
	}
	if want := st.last[f.flow()] + 1; f.n != want {
		s.wrong("%s gets number %d of %s, and %d was due", st, f.n, f.flow(), want)
	}
	st.last[f.flow()] = f.n
	s.arrived.Add(1)
}

// visitor is what hangs on a port that is changed: it hears, and says nothing.
type visitor struct {
	name string
	kind string
	ns   *Namespace

	mu     sync.Mutex
	vlan   int
	member map[int]span // of VLANs, when it was the last time
	gone   bool         // its port is being deleted
	last   map[string]int
}

// span is a time, in nanoseconds; without an end: still.
type span struct{ begin, end int64 }

// join has it be in a VLAN from now on, and no longer in that before once done is
// called.
func (v *visitor) join(vlan int) (done func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.vlan
	if before == vlan {
		return func() {}
	}
	v.vlan = vlan
	v.member[vlan] = span{begin: time.Now().UnixNano()}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.member[before] = span{v.member[before].begin, time.Now().UnixNano()}
	}
}

// judgeVisit judges what arrives at a visitor: frames for all, of a VLAN that its port
// was in between their sending and their arrival, in order.
func (s *soak) judgeVisit(v *visitor, in *inbox, bytes []byte) {
	f, ok := s.readSoak(in, bytes)
	if !ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now().UnixNano()
	m, was := v.member[f.vlan]
	switch {
	case !was || m.end != 0 && m.end < f.at || m.begin > now:
		s.wrong("%s, of VLAN %d, gets a frame of VLAN %d", in, v.vlan, f.vlan)
	case !f.forAll() && f.warm:
		s.wrong("%s gets what %s has sent to %s, whom the switch knows", in, f.from, f.to)
	case f.n <= v.last[f.flow()]:
		s.wrong("%s gets number %d of %s behind %d", in, f.n, f.flow(), v.last[f.flow()])
	}
	v.last[f.flow()] = f.n
	s.visits.Add(1)
}

// arrive makes the visitor's port, of one kind and then of the other.
func (s *soak) arrive(v *visitor) {
	v.kind = map[string]string{"": "--veth", "--veth": "--tap", "--tap": "--veth"}[v.kind]
	defer v.join(soakFirst + rand.IntN(soakVLANs))()
	v.mu.Lock()
	v.gone, v.last = false, make(map[string]int)
	v.mu.Unlock()
	s.h.VS("port", "add", v.name, v.kind, "--netns", v.name, "--access", strconv.Itoa(v.vlan))
	st := v.ns.Station("eth0")
	s.hearing.Go(func() {
		s.hear(st.inbox, func(b []byte) { s.judgeVisit(v, st.inbox, b) }, func(err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			if !v.gone {
				s.wrong("%s: %v", v.name, err)
			}
		})
	})
}

// leave deletes the visitor's port.
func (s *soak) leave(v *visitor) {
	v.mu.Lock()
	v.gone = true
	v.mu.Unlock()
	s.h.VS("port", "del", v.name)
}

// soakProfile is that of every eighth visitor.
const soakProfile = "soak"

// change makes one change, of those that leave the stations' ports alone.
func (s *soak) change(n int) {
	h, i := s.h, rand.IntN(soakVisitors)
	v, vlan := s.visitors[i], soakFirst+rand.IntN(soakVLANs)
	if i%8 == 0 {
		var done []func()
		for j := 0; j < soakVisitors; j += 8 {
			done = append(done, s.visitors[j].join(vlan))
		}
		h.VS("profile", "set", soakProfile, "--access", strconv.Itoa(vlan))
		for _, d := range done {
			d()
		}
		return
	}
	switch n % 7 {
	case 0:
		s.leave(v)
		s.arrive(v)
	case 1, 2:
		done := v.join(vlan)
		h.VS("port", "set", v.name, "--access", strconv.Itoa(vlan))
		done()
	case 3:
		h.VS("port", "set", v.name, fmt.Sprintf("--isolated=%t", rand.IntN(2) == 0))
	case 4:
		h.VS("port", "impair", v.name, "delay", []string{"5ms", "0"}[rand.IntN(2)])
	case 5:
		mac := MAC(1 + rand.IntN(1000))
		h.VS("fdb", "add", mac, "--vlan", strconv.Itoa(vlan), "--port", v.name)
		h.VS("fdb", "del", mac, "--vlan", strconv.Itoa(vlan))
	case 6:
		h.VS("port", "set", v.name, "down")
		h.VS("port", "set", v.name, "up")
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
	s := &soak{h: h, stop: make(chan struct{}), over: make(chan struct{})}
	s.fill()
	begin, changes := time.Now(), 0
	memory := &slope{}
	for ; time.Since(begin) < length; changes++ {
		time.Sleep(time.Until(begin.Add(time.Duration(changes) * soakChange)))
		s.change(changes)
		if changes%50 == 0 {
			if n := len(h.Ports()); n != len(s.stations)+soakVisitors {
				t.Errorf("there are %d ports", n)
			}
			if time.Since(begin) > length/4 {
				memory.add(time.Since(begin), rss(t, h.Pid()))
			}
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
	close(s.over)
	s.hearing.Wait()
	for _, p := range s.problems {
		t.Error(p)
	}
	perHour := memory.perHour()
	t.Logf("%v, %d ports, %d changes: %d frames sent and %d arrived, and %d more at the ports that were changed; memory %d KiB, %+.2f MiB an hour",
		length, len(s.stations)+soakVisitors, changes, s.sent.Load(), s.arrived.Load(), s.visits.Load(), rss(t, h.Pid()), perHour)
	if s.visits.Load() == 0 {
		t.Error("nothing has arrived at the ports that were changed")
	}
	if length >= 30*time.Minute && perHour > 1 {
		t.Errorf("the memory grows by %.2f MiB an hour", perHour)
	}
}

// fill makes the ports, and begins the traffic.
func (s *soak) fill() {
	h := s.h
	for v := range soakVLANs {
		var peers []*soaker
		for i := range soakStations {
			name := fmt.Sprintf("s%d-%d", v, i)
			ns := h.Quiet(name)
			h.VS("port", "add", name, []string{"--veth", "--tap"}[i%2], "--netns", name, "--access", strconv.Itoa(soakFirst+v))
			peers = append(peers, &soaker{Station: ns.Station("eth0"), vlan: soakFirst + v, last: make(map[string]int)})
		}
		for _, p := range peers {
			p.peers = peers
		}
		s.stations = append(s.stations, peers...)
	}
	h.VS("profile", "add", soakProfile, "--access", strconv.Itoa(soakFirst))
	for i := range soakVisitors {
		v := &visitor{name: fmt.Sprint("v", i), ns: h.Quiet(fmt.Sprint("v", i)), member: make(map[int]span)}
		s.visitors = append(s.visitors, v)
		s.arrive(v)
		if i%8 == 0 {
			done := v.join(soakFirst)
			h.VS("port", "set", v.name, "--profile", soakProfile)
			done()
		}
	}
	for _, st := range s.stations {
		st.Learn(st.Address)
		s.hearing.Go(func() {
			s.hear(st.inbox, func(b []byte) { s.judge(st, b) }, func(err error) { s.wrong("%s: %v", st, err) })
		})
		s.running.Go(func() { s.send(st) })
	}
	h.Eventually(0, func() error {
		if n := len(h.FDB()); n < len(s.stations) {
			return fmt.Errorf("%d of %d stations are known", n, len(s.stations))
		}
		return nil
	})
	s.warm.Store(true)
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
