package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A switch has room for many ports (issue 2, promise 10), and keeps its time
// with them (promise 7). The namespaces are quiet: a thousand stacks that greet
// each other by multicast are a million frames, and the time of those.

const (
	manyPorts = 1100 // more than a Linux bridge takes
	manyRooms = 22   // namespaces that share them
)

// portSpec is the body of POST /v1/ports.
type portSpec struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Netns  string `json:"netns,omitempty"`
	Device string `json:"device,omitempty"`
}

// rooms makes namespaces for many ports.
func (h *Host) rooms() []*Namespace {
	h.t.Helper()
	h.Sysctl("net/ipv6/conf/default/disable_ipv6", "1")
	var rooms []*Namespace
	for i := range manyRooms {
		rooms = append(rooms, h.Quiet(fmt.Sprintf("room%d", i)))
	}
	return rooms
}

// aVeth is the i-th of many ports.
func aVeth(i int) portSpec {
	return portSpec{Name: fmt.Sprintf("p%d", i), Kind: "veth", Netns: fmt.Sprintf("room%d", i%manyRooms)}
}

func TestManyPorts(t *testing.T) {
	h := NewHost(t, Fast)
	fresh := h.Second("fresh")
	fresh.Start()
	goroutines := fresh.goroutines()
	rooms := h.rooms()
	for i := range rooms {
		// It goes with the namespace, and only with it.
		h.Run("ip", "link", "add", fmt.Sprintf("canary%d", i), "type", "veth", "peer", "name", "canary", "netns", rooms[i].Name)
	}
	c := h.Connect()
	// The first port brings what all share.
	c.MustDo("POST /v1/ports", aVeth(0), nil)
	c.MustDo("DELETE /v1/ports/sw0/p0", nil, nil)
	descriptors, devices := h.descriptors(), len(h.Links())

	h.Case("added in one run", func(t *testing.T) {
		var took []time.Duration
		for i := range manyPorts {
			begin := time.Now()
			c.MustDo("POST /v1/ports", aVeth(i), nil)
			took = append(took, time.Since(begin))
		}
		straight(t, "adding a port", took)
	})

	h.Case("broadcast reaches all", func(t *testing.T) {
		var listeners []*listener
		for _, room := range rooms {
			listeners = append(listeners, room.listen("to all of you"))
		}
		st := rooms[0].Station("eth0")
		st.Send(Eth{Src: MAC(1), Payload: "to all of you"})
		h.Eventually(0, func() error {
			reached := 0
			for _, l := range listeners {
				reached += l.reached()
			}
			if reached != manyPorts-1 {
				return fmt.Errorf("the broadcast reached %d ports, want %d", reached, manyPorts-1)
			}
			return nil
		})
		for _, l := range listeners {
			if n := l.close(); n > 1 {
				t.Errorf("a port got the broadcast %d times", n)
			}
		}
		st.Close()
	})

	h.Case("fifty of them come and go", func(t *testing.T) {
		ev := h.Events()
		defer ev.Close()
		room := rooms[7]
		awaitAll := func(state string, limit time.Duration) {
			t.Helper()
			end := time.Now()
			var last time.Time
			for range manyPorts / manyRooms {
				last = ev.AwaitAny(state).Time
			}
			t.Logf("%d ports are %s after %v", manyPorts/manyRooms, state, last.Sub(end).Round(time.Millisecond))
			if took := last.Sub(end); took > limit {
				t.Errorf("it took %v until the ports were %s, want at most %v", took, state, limit)
			}
		}
		room.Delete()
		awaitAll("lost", lostTime)
		room.Again()
		awaitAll("up", backTime)
		h.Run("ip", "link", "add", "canary7", "type", "veth", "peer", "name", "canary", "netns", room.Name)
	})

	h.Case("all deleted", func(t *testing.T) {
		var took []time.Duration
		for i := range manyPorts / 4 {
			begin := time.Now()
			c.MustDo(fmt.Sprintf("DELETE /v1/ports/sw0/p%d", i), nil, nil)
			took = append(took, time.Since(begin))
		}
		slices.Reverse(took)
		straight(t, "deleting a port", took)
		begin := time.Now()
		c.MustDo("DELETE /v1/switches/sw0", nil, nil)
		t.Logf("deleting the switch with the others: %v", time.Since(begin).Round(time.Millisecond))
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("deleting the switch took %v, want at most 2 s", took)
		}
		if got := len(h.Links()); got != devices {
			t.Errorf("%d devices are on the host, want %d as before", got, devices)
		}
		for _, room := range rooms {
			if got := room.Links(); len(got) != 2 { // lo and the canary
				t.Errorf("in %s are left %d devices", room.Name, len(got)-2)
			}
		}
		h.Eventually(0, func() error { // the stream of events ends when it ends
			return noMore(h.descriptors(), descriptors)
		})
		for _, room := range rooms {
			room.Delete()
		}
		h.Eventually(0, func() error {
			for name := range h.Links() {
				if strings.HasPrefix(name, "canary") {
					return fmt.Errorf("%s is still there, so its namespace is kept by somebody", name)
				}
			}
			return nil
		})
		c.http.CloseIdleConnections()
		h.Eventually(0, func() error { // connections end when they end
			if got := h.descriptors(); len(got) >= len(descriptors) {
				return fmt.Errorf("the daemon has %d descriptors, want one less than %d", len(got), len(descriptors))
			}
			return nil
		})
		if err := noMore(h.goroutines(), goroutines); err != nil {
			t.Errorf("goroutines: %v", err)
		}
	})
}

// straight fails the test when times grow with their number: when those of the
// last quarter are twice those of the first. It is their medians that are
// compared, because a loaded machine has bad moments.
func straight(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	var medians []time.Duration
	for q := range slices.Chunk(took, (len(took)+3)/4) {
		q = slices.Sorted(slices.Values(q))
		medians = append(medians, q[len(q)/2].Round(10*time.Microsecond))
	}
	t.Logf("%s, medians of each quarter of %d: %v", what, len(took), medians)
	if first, last := medians[0], medians[3]; last > 2*first+2*time.Millisecond {
		t.Errorf("%s took %v at first and %v at last: it grows with their number", what, first, last)
	}
}

// TestManyPortsEndInTime lets daemons with many ports of all kinds end, in
// every way.
func TestManyPortsEndInTime(t *testing.T) {
	mixed := func(i int) portSpec {
		spec := aVeth(i)
		switch {
		case i%20 == 0: // it takes the kernel 20 ms to move one
			spec.Kind = "tap"
		case i%3 == 1:
			spec = portSpec{Name: spec.Name, Kind: "tap"}
		case i%3 == 2:
			spec = portSpec{Name: spec.Name, Kind: "vm", Device: "vm-" + spec.Name}
		}
		return spec
	}
	h := NewHost(t, Fast, NoDaemon)
	rooms := h.rooms()
	before := len(h.Links())
	inTime := func(t *testing.T, begin time.Time) {
		t.Helper()
		took := time.Since(begin)
		t.Logf("%v", took.Round(time.Millisecond))
		if took > ShutdownTime {
			t.Errorf("it took %v, want at most %v", took, ShutdownTime)
		}
	}
	nothingLeft := func(t *testing.T) {
		t.Helper()
		if got := len(h.Links()); got != before {
			t.Errorf("%d devices are on the host, want %d as before", got, before)
		}
		h.Eventually(0, func() error { // the kernel takes TAPs away behind the process
			for _, room := range rooms {
				if got := len(room.Links()) - 1; got > 0 {
					return fmt.Errorf("in %s are left %d devices", room.Name, got)
				}
			}
			return nil
		})
	}
	for _, c := range []struct {
		name string
		spec func(int) portSpec
		end  syscall.Signal
	}{
		{"veth pairs into namespaces", aVeth, syscall.SIGTERM},
		{"TAPs of the host", func(i int) portSpec { return portSpec{Name: aVeth(i).Name, Kind: "tap"} }, syscall.SIGINT},
		{"all kinds", mixed, syscall.SIGTERM},
	} {
		h.Case(c.name, func(t *testing.T) {
			h.Forget()
			h.Start()
			h.addMany(c.spec)
			begin := time.Now()
			h.Process().Signal(c.end)
			r := h.Process().Wait(t, Patience)
			inTime(t, begin)
			if r.Code != 0 {
				t.Errorf("exit status %d, want 0:\n%s", r.Code, indent(tail(r.Stderr, 2000)))
			}
			nothingLeft(t)
		})
	}
	h.Case("killed, and started again at once", func(t *testing.T) {
		h.Forget()
		h.Start()
		h.addMany(mixed)
		// Not waited for: the kernel needs half a minute to take it apart,
		// and its socket still takes connections then.
		killed := h.Process()
		killed.Signal(syscall.SIGKILL)
		next := h.Second("next")
		next.Socket = h.Socket // and with nothing kept, so that it only tidies up
		begin := time.Now()
		next.Start() // until it answers, with the leftovers removed
		inTime(t, begin)
		killed.Wait(t, 4*Patience)
		nothingLeft(t)
	})
}

// addMany adds many ports, some at once.
func (h *Host) addMany(spec func(int) portSpec) {
	h.t.Helper()
	var all sync.WaitGroup
	errs := make([]error, 4)
	for n := range errs {
		c := h.Connect()
		all.Go(func() {
			for i := n; i < manyPorts && errs[n] == nil; i += len(errs) {
				errs[n] = c.Do("POST /v1/ports", spec(i), nil)
			}
			c.http.CloseIdleConnections()
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		h.t.Fatal(err)
	}
	if got := len(h.Ports()); got != manyPorts {
		h.t.Fatalf("%d ports stand, want %d", got, manyPorts)
	}
}
