package fdb

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/vswitch/vswitch/frame"
)

// The terms are those of RFC 2889, "Benchmarking Methodology for LAN Switching
// Devices": how many stations a switch can keep (5.7, address caching
// capacity), and how fast it can learn them (5.8, address learning rate).

var benchSizes = []int{1000, DefaultSize, 100_000, MaxSize}

func forSizes(b *testing.B, fn func(b *testing.B, size int)) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("stations=%d", size), func(b *testing.B) { fn(b, size) })
	}
}

// filled returns a table that knows size stations, each heard twice.
func filled(size int) *Table {
	t := New(Config{Size: size, Ageing: DefaultAgeing})
	for range 2 {
		for n := range size {
			t.Learn(at(1, station(n)), PortID(n%64), 1)
		}
	}
	return t
}

// traffic returns the addresses of stations in no order.
func traffic(size int) *[1 << 16]frame.Address {
	addresses := new([1 << 16]frame.Address)
	for i := range addresses {
		addresses[i] = station(rand.IntN(size)).Address()
	}
	return addresses
}

func BenchmarkAddressCachingCapacity(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		cached := 0
		for b.Loop() {
			t := filled(size)
			cached = 0
			for n := range size {
				if _, v := t.Lookup(at(1, station(n)), 1); v == Known {
					cached++
				}
			}
		}
		b.ReportMetric(float64(cached), "addresses")
		b.ReportMetric(0, "ns/op")
	})
}

func learningRate(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "addresses/s")
}

// BenchmarkAddressLearningRate learns into an empty table until it is full, and
// begins again.
func BenchmarkAddressLearningRate(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, n := New(Config{Size: size}), 0
		for b.Loop() {
			if n == size {
				b.StopTimer()
				t.Flush(Match{})
				n = 0
				b.StartTimer()
			}
			t.Learn(at(1, station(n)), 1, Time(n/1000))
			n++
		}
		learningRate(b)
	})
}

// BenchmarkAddressLearningRateFull learns into a full table, where each newcomer
// evicts another.
func BenchmarkAddressLearningRateFull(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, n := filled(size), size
		for b.Loop() {
			t.Learn(at(1, station(n)), 1, Time(n/1000))
			n++
		}
		learningRate(b)
	})
}

// BenchmarkAddressLearningRateAmongActive learns into a table that is full of
// stations which are heard again all the time: one frame in ten is a newcomer's.
func BenchmarkAddressLearningRateAmongActive(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, n := filled(size), size
		addresses := traffic(size)
		for b.Loop() {
			now := Time(n / 1000)
			t.Learn(at(1, station(n)), 1, now)
			for i := range 9 {
				a := addresses[(9*n+i)&0xffff]
				t.Learn(StationOf(1, a), PortID(a%64), now)
			}
			n++
		}
		learningRate(b)
	})
}

// BenchmarkLookupAndLearn is what the table costs a frame between two stations
// that are known.
func BenchmarkLookupAndLearn(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, addresses, n := filled(size), traffic(size), 0
		for b.Loop() {
			a := addresses[n&0xffff]
			t.Learn(StationOf(1, a), PortID(a%64), 1)
			t.Lookup(StationOf(1, addresses[(n+77)&0xffff]), 1)
			n++
		}
	})
}

// BenchmarkLookupAndLearnPrefetched does so as a switch does, whose frames come in
// batches: the waits for memory overlap.
func BenchmarkLookupAndLearnPrefetched(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, addresses, n := filled(size), traffic(size), 0
		var from, to [64]Station
		for b.Loop() {
			at := n & 63
			if at == 0 {
				for i := range from {
					from[i] = StationOf(1, addresses[(n+i)&0xffff])
					to[i] = StationOf(1, addresses[(n+i+77)&0xffff])
				}
				for i := range from {
					t.Prefetch(from[i], to[i])
				}
			}
			t.Learn(from[at], from[at].port(), 1)
			t.Lookup(to[at], 1)
			n++
		}
	})
}

// port returns that of filled.
func (s Station) port() PortID { return PortID(s.key % 64) }

// BenchmarkLookupAndLearnAnew is the same with a clock that never stands, so
// that each frame renews an entry.
func BenchmarkLookupAndLearnAnew(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, addresses, n := filled(size), traffic(size), 0
		for b.Loop() {
			a := addresses[n&0xffff]
			t.Learn(StationOf(1, a), PortID(a%64), Time(n>>8))
			t.Lookup(StationOf(1, addresses[(n+77)&0xffff]), Time(n>>8))
			n++
		}
	})
}

// BenchmarkLookupAndLearnParallel has all processors do so on one table.
func BenchmarkLookupAndLearnParallel(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, addresses := filled(size), traffic(size)
		b.RunParallel(func(pb *testing.PB) {
			for n := rand.IntN(1 << 16); pb.Next(); n++ {
				a := addresses[n&0xffff]
				t.Learn(StationOf(1, a), PortID(a%64), 1)
				t.Lookup(StationOf(1, addresses[(n+77)&0xffff]), 1)
			}
		})
	})
}

// BenchmarkPlainMap does what BenchmarkLookupAndLearn does with a map under a
// lock for many readers, and without a thought for age. It is the yardstick:
// the machines on which these run differ by far more than a factor of two, from
// one minute to the next.
func BenchmarkPlainMap(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		var mu sync.RWMutex
		t, addresses, n := map[key]value{}, traffic(size), 0
		for n := range size {
			mac := station(n)
			t[keyOf(1, mac.Address())] = newValue(Dynamic, PortID(n%64), firstSeen(1))
		}
		found := 0
		for b.Loop() {
			for _, a := range []frame.Address{addresses[n&0xffff], addresses[(n+77)&0xffff]} {
				mu.RLock()
				if t[keyOf(1, a)].kind() == Dynamic {
					found++
				}
				mu.RUnlock()
			}
			n++
		}
		if found != 2*n {
			b.Errorf("found %d of %d", found, 2*n)
		}
	})
}

func BenchmarkLookupUnknown(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, addresses, n := filled(size), traffic(size), 0
		for b.Loop() {
			t.Lookup(StationOf(2, addresses[n&0xffff]), 1)
			n++
		}
	})
}

func BenchmarkMove(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t, n := filled(size), 0
		for b.Loop() {
			t.Learn(at(1, station(n%size)), PortID(100+n/size%2), 1)
			n++
		}
	})
}

// BenchmarkSweepOfNothing is what a sweep costs where nothing has expired.
func BenchmarkSweepOfNothing(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t := filled(size)
		for b.Loop() {
			t.Expire(2)
		}
	})
}

// BenchmarkRebuild is how long learning rests while SetSize is at work.
func BenchmarkRebuild(b *testing.B) {
	forSizes(b, func(b *testing.B, size int) {
		t := filled(size)
		for b.Loop() {
			t.rebuild(size, t.reserve)
		}
	})
}
