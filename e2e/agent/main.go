// Command agent is the end-to-end tests' hand inside namespaces, containers and
// guests: it sends and receives streams whose bytes are known, reads the
// stack's checksum counters and switches offloads; in a guest it is also
// process 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
)

const usage = `usage: agent receive NET PORT               take one stream, print a summary
       agent send NET ADDR:PORT SIZE SEED [UDP] send one; UDP: payload of a datagram, "gso" for super-datagrams
       agent counters                        print the stack's checksum errors
       agent offload IFNAME FEATURE on|off   FEATURE: tx, rx, sg, tso, gso, gro
       agent vxlan IFNAME VNI LOCAL REMOTE ADDR4/LEN ADDR6/LEN PEERMAC PEER4 PEER6
                                             make one end of a tunnel
       agent monitor TAP                     be a VM's monitor that reads and says nothing
       agent pester KIND SOCKET COUNT        be so many bad clients of a daemon
NET: tcp4, tcp6, udp4, udp6. As process 1: serve commands over virtio-serial.`

func main() {
	if os.Getpid() == 1 {
		err := serve()
		fmt.Fprintln(os.Stderr, "agent:", err)
		powerOff()
	}
	result, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
	if result != nil {
		if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
	}
}

// run carries out one command; its result is printed as JSON.
func run(args []string) (any, error) {
	switch {
	case len(args) == 3 && args[0] == "receive":
		return receive(args[1], args[2])
	case (len(args) == 5 || len(args) == 6) && args[0] == "send":
		size, err := strconv.ParseInt(args[3], 10, 64)
		if err != nil {
			return nil, err
		}
		seed, err := strconv.ParseUint(args[4], 10, 64)
		if err != nil {
			return nil, err
		}
		s := stream{network: args[1], addr: args[2], size: size, seed: seed}
		if len(args) == 6 {
			s.datagram = args[5]
		}
		return s.send()
	case len(args) == 1 && args[0] == "counters":
		return counters()
	case len(args) == 10 && args[0] == "vxlan":
		vni, err := strconv.Atoi(args[2])
		if err != nil {
			return nil, err
		}
		return vxlan(tunnel{
			ifname: args[1], vni: vni, local: args[3], remote: args[4], addr4: args[5], addr6: args[6],
			peerMAC: args[7], peer4: args[8], peer6: args[9],
		})
	case len(args) == 2 && args[0] == "monitor":
		return nil, monitor(args[1])
	case len(args) == 4 && args[0] == "pester":
		count, err := strconv.Atoi(args[3])
		if err != nil {
			return nil, err
		}
		return nil, pester(args[1], args[2], count)
	case len(args) == 4 && args[0] == "offload":
		return nil, offload(args[1], args[2], args[3] == "on")
	}
	return nil, fmt.Errorf("%s", usage)
}
