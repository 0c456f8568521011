package rtnl

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Features of a device are bits whose numbers depend on the kernel, and whose
// names do not (net/ethtool/common.c).
const (
	featureStrings = 4  // ETH_SS_FEATURES
	stringLen      = 32 // ETH_GSTRING_LEN
)

// featureBits returns the number of each feature of this kernel. It needs any
// device to ask for.
var featureBits struct {
	sync.Mutex
	numbers map[string]int
}

// FeaturesOff turns features of the device off, in the namespace of the
// calling thread. Those that this kernel or the device does not know, or
// cannot change, it leaves.
func FeaturesOff(device string, names []string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for ethtool: %w", err)
	}
	defer unix.Close(fd)
	numbers, err := featureNumbers(fd, device)
	if err != nil {
		return fmt.Errorf("list the features of %s: %w", device, err)
	}
	valid := make([]uint32, (len(numbers)+31)/32)
	for _, name := range names {
		if n, ok := numbers[name]; ok {
			valid[n/32] |= 1 << (n % 32)
		}
	}
	if err := setFeatures(fd, device, valid); err != nil {
		return fmt.Errorf("turn off features of %s: %w", device, err)
	}
	return nil
}

func featureNumbers(fd int, device string) (map[string]int, error) {
	featureBits.Lock()
	defer featureBits.Unlock()
	if featureBits.numbers != nil {
		return featureBits.numbers, nil
	}
	table, err := stringTable(fd, device, featureStrings)
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]int, len(table))
	for i, name := range table {
		numbers[name] = i
	}
	featureBits.numbers = numbers
	return numbers, nil
}
