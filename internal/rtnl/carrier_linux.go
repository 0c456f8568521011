package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// CarrierProbe asks devices of one namespace for their carrier, cheaper than
// netlink does, and before netlink tells of it: the kernel tells of a carrier
// that went off at most once a second (net/core/link_watch.c).
type CarrierProbe struct{ fd int }

// NewCarrierProbe returns a probe for the namespace of the calling thread.
func NewCarrierProbe() (*CarrierProbe, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ethtool: %w", err)
	}
	return &CarrierProbe{fd}, nil
}

// Carrier reports whether the device with that index has a carrier.
func (p *CarrierProbe) Carrier(index int) (bool, error) {
	name, err := nameOf(p.fd, index)
	if err != nil {
		return false, err
	}
	return hasCarrier(p.fd, name)
}

// Close ends the probe.
func (p *CarrierProbe) Close() error { return unix.Close(p.fd) }
