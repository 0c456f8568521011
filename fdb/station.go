package fdb

import (
	"math/bits"
	"math/rand/v2"

	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// Station is an address in a VLAN, ready to be looked up in any table.
type Station struct {
	key  key
	hash uint64
}

// StationOf returns the station with that address in a VLAN.
func StationOf(vid vlan.ID, a frame.Address) Station { return keyOf(vid, a).station() }

func (k key) station() Station { return Station{k, k.hash()} }

// seed makes the hash another one in each process.
var seed = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// hash folds a product as wyhash does, by Wang Yi.
func (k key) hash() uint64 {
	hi, lo := bits.Mul64(uint64(k)^seed[0], seed[1])
	hi, lo = bits.Mul64(hi^lo^seed[0], seed[1])
	return hi ^ lo
}
