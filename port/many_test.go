package port

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
)

// manyPorts is how many ports two seconds have to do for, on a machine with
// nothing else to do. The test allows for one that has.
const (
	manyPorts  = 1100
	patience   = 6 * time.Second
	fewerPorts = 100
)

func TestManyPortsCloseTogether(t *testing.T) {
	n := manyPorts
	if testing.Short() {
		n = fewerPorts
	}
	h := newTestHost(t)
	descriptors(t)
	names := namespaces(t, n)
	h.open("first", Config{Kind: Veth, Netns: names[0], IfName: "first"}) // loads the program
	for _, test := range []struct {
		name string
		n    int
		cfg  func(i int) Config
	}{
		{"veth", n, func(i int) Config { return Config{Kind: Veth, Netns: names[i], Addresses: prefixes("10.0.0.1/24")} }},
		{"tap", n, func(int) Config { return Config{Kind: Tap} }},
		{"vm", n, func(i int) Config { return Config{Kind: VM, Device: fmt.Sprintf("vm%d", i)} }},
		// Moving a TAP waits for the kernel 20 ms, whatever we do (rcu_barrier
		// in __dev_change_net_namespace).
		{"tap in a namespace", fewerPorts, func(i int) Config { return Config{Kind: Tap, Netns: names[i]} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, files := devices(t), openFiles(t)
			all := make([]*Attachment, test.n)
			var cost [10]time.Duration // of each tenth, in time of processors: others use them, too
			start := time.Now()
			for i := range all {
				began := cpuTime()
				a, err := h.Open(context.Background(), Identity{"sw0", fmt.Sprintf("p%d", i)}, test.cfg(i), nil)
				if err != nil {
					t.Fatal(err)
				}
				all[i] = a
				cost[i*10/test.n] += (cpuTime() - began) / time.Duration(test.n/10)
			}
			opened := time.Since(start)
			start = time.Now()
			if err := h.CloseAll(context.Background(), all); err != nil {
				t.Fatal(err)
			}
			closed := time.Since(start)
			t.Logf("%d ports: opened in %v (%v each, of which processors %v at first, %v at last), closed in %v", test.n,
				opened.Round(time.Millisecond), (opened / time.Duration(test.n)).Round(time.Microsecond),
				cost[0].Round(time.Microsecond), cost[9].Round(time.Microsecond), closed.Round(time.Millisecond))
			if closed > patience {
				t.Errorf("closing %d ports took %v, want less than %v", test.n, closed, patience)
			}
			if cost[9] > 4*cost[0]+time.Millisecond {
				t.Errorf("the last ports cost %v each, the first %v: want a straight line", cost[9], cost[0])
			}
			if after := devices(t); after != before {
				t.Errorf("left %s", after)
			}
			if after := openFiles(t); after != files {
				t.Errorf("%d descriptors are open, %d were", after, files)
			}
		})
	}
}

// Some of many, as when one switch of two is deleted.
func TestCloseAllLeavesTheOthers(t *testing.T) {
	h := newTestHost(t)
	names := namespaces(t, 6)
	var leave, stay []*Attachment
	for i, ns := range names {
		a := h.open(fmt.Sprintf("v%d", i), Config{Kind: Veth, Netns: ns})
		b := h.open(fmt.Sprintf("t%d", i), Config{Kind: Tap, Netns: ns})
		c := h.open(fmt.Sprintf("h%d", i), Config{Kind: Tap})
		if i%2 == 0 {
			leave = append(leave, a, b, c)
		} else {
			stay = append(stay, a, b, c)
		}
	}
	if err := h.CloseAll(context.Background(), leave); err != nil {
		t.Fatal(err)
	}
	for _, a := range stay {
		if s := a.Status(); !s.Carrier {
			t.Errorf("%s, which was to stay: %+v", a.id, s)
		}
	}
	if err := h.CloseAll(context.Background(), append(leave, stay...)); err != nil {
		t.Fatal(err)
	}
	if left := devices(t); len(left) == 0 || countLines(left) != 1 {
		t.Errorf("left\n%s", left)
	}
}

func countLines(s string) (n int) {
	for _, c := range s {
		if c == '\n' {
			n++
		}
	}
	return n
}

// namespaces makes namespaces with names, faster than ip-netns(8) would.
func namespaces(t testing.TB, n int) []string {
	t.Helper()
	if err := os.MkdirAll(netns.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var names []string
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends elsewhere
		for i := range n {
			ns, err := vnetns.NewNamed(fmt.Sprintf("many%d", i))
			if err != nil {
				done <- err
				return
			}
			ns.Close()
			names = append(names, fmt.Sprintf("many%d", i))
		}
		done <- nil
	}()
	err := <-done
	t.Cleanup(func() {
		for _, name := range names {
			path := filepath.Join(netns.Dir, name)
			unix.Unmount(path, unix.MNT_DETACH)
			os.Remove(path)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// descriptors makes room for ports that hold two each.
func descriptors(t testing.TB) {
	t.Helper()
	var had unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
		t.Fatal(err)
	}
	want := unix.Rlimit{Cur: 4 * manyPorts, Max: max(had.Max, 4*manyPorts)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &want); err != nil {
		t.Fatal(err)
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var r unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
