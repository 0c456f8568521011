package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
)

// DHCPServer runs dnsmasq in the namespace: it gives addresses from first to
// last to whoever asks on the device.
func (ns *Namespace) DHCPServer(ifname, first, last string) *Process {
	h := ns.h
	h.t.Helper()
	Need(h.t, "dnsmasq")
	p := ns.Go("dnsmasq", "--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--conf-file=/dev/null", "--port=0",
		"--interface="+ifname, "--bind-interfaces", "--except-interface=lo", "--dhcp-authoritative", "--no-ping",
		"--pid-file=", "--dhcp-leasefile="+h.Path(ns.Name+".leases"), "--dhcp-range="+first+","+last+",10m")
	p.Expect(h.t, "DHCP, IP range")
	return p
}

// DHCPClient asks for a lease on the device, sets the address, and returns it.
func (ns *Namespace) DHCPClient(ifname string) string {
	h := ns.h
	h.t.Helper()
	Need(h.t, "busybox")
	script := h.Path("udhcpc.script")
	const bound = `#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
echo "lease $ip"
`
	if err := os.WriteFile(script, []byte(bound), 0o755); err != nil {
		h.t.Fatal(err)
	}
	out := ns.Run(h.busybox(), "udhcpc", "-i", ifname, "-f", "-q", "-n", "-t", "10", "-T", "1", "-s", script)
	for line := range strings.Lines(out) {
		if ip, ok := strings.CutPrefix(strings.TrimSpace(line), "lease "); ok && net.ParseIP(ip) != nil {
			return ip
		}
	}
	h.t.Fatalf("no lease:\n%s", out)
	return ""
}

// LLDP is an lldpd that speaks on one device.
type LLDP struct {
	ns     *Namespace
	socket string
	p      *Process
}

// LLDP starts an lldpd in the namespace; it announces itself as the
// namespace's name.
func (ns *Namespace) LLDP(ifname string) *LLDP {
	h := ns.h
	h.t.Helper()
	Need(h.t, "lldpd", "lldpcli")
	l := &LLDP{ns: ns, socket: h.Path("lldpd." + ns.Name)}
	// Soon and often: the default of 30 s is for networks that stay. By a
	// file, and without disturbing it before it has read that: an lldpd that
	// somebody talks to while it starts may stay paused.
	conf := l.socket + ".conf"
	if err := os.WriteFile(conf, []byte("configure lldp tx-interval 1\n"), 0o644); err != nil {
		h.t.Fatal(err)
	}
	l.p = ns.Go("lldpd", "-d", "-u", l.socket, "-I", ifname, "-S", ns.Name, "-O", conf)
	l.p.Expect(h.t, "lldpd should resume operations")
	return l
}

func (l *LLDP) cli(args ...string) string {
	l.ns.h.t.Helper()
	return l.ns.Run(append([]string{"lldpcli", "-u", l.socket}, args...)...)
}

// Neighbours returns the descriptions of those that it hears.
func (l *LLDP) Neighbours() (names []string) {
	l.ns.h.t.Helper()
	out := l.cli("-f", "json0", "show", "neighbors")
	var doc struct {
		LLDP []struct {
			Interface []struct {
				Chassis []struct {
					Descr []struct {
						Value string `json:"value"`
					} `json:"descr"`
				} `json:"chassis"`
			} `json:"interface"`
		} `json:"lldp"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		l.ns.h.t.Fatalf("lldpcli: %v in\n%s", err, out)
	}
	for _, all := range doc.LLDP {
		for _, i := range all.Interface {
			for _, c := range i.Chassis {
				for _, d := range c.Descr {
					names = append(names, d.Value)
				}
			}
		}
	}
	return names
}

// AwaitNeighbour waits until it hears the lldpd of another namespace.
func (l *LLDP) AwaitNeighbour(name string) {
	l.ns.h.t.Helper()
	l.ns.h.Eventually(0, func() error {
		got := l.Neighbours()
		for _, n := range got {
			if n == name {
				return nil
			}
		}
		return fmt.Errorf("lldpd in %s hears %q, want %s; it says:\n%s", l.ns.Name, got, name, indent(l.cli("show", "statistics")))
	})
}
