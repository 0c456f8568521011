// Package e2e holds the black-box tests, and the harness that lets them read
// as stories: real binaries, real namespaces, real TAPs, real guests.
//
//	h := e2e.NewHost(t)                       // a machine of its own, vswitchd runs
//	a := h.Namespace("a")                     // ip netns add a
//	b := h.Namespace("b")
//	h.VS("port", "add", "p1", "--netns", "a", "--ip", "10.0.0.1/24")
//	h.VS("port", "add", "p2", "--netns", "b", "--ip", "10.0.0.2/24")
//	a.Ping("10.0.0.2")
//	e2e.Transfer(t, a, b, "tcp4", "10.0.0.2", 16<<20)
//
// A [Host] is what a test takes for the machine: a fresh network namespace and
// a fresh mount namespace with an empty /run, both held by one thread of the
// test. So namespaces and containers may have plain names, nothing shows on
// the real machine, and all of it is gone when the test process is, however
// that ends. Devices, addresses and sockets of one Host are unknown to the
// others, so tests may run in parallel.
//
// What a test has at hand: [Host.VS], [Host.JSON], [Host.Port] and
// [Host.Refused] talk to the switch; [Namespace], [Container] and [Guest] are
// places with a stack, between which [Transfer] moves a stream and verifies it;
// [Station] and [Monitor] put raw frames on the wire, tags and all, and say what
// arrived; [Rig] knows all that a frame causes. [Namespace.Tag] has a stack speak
// in a VLAN; [Namespace.DHCPServer] and [Namespace.LLDP] run what people run.
//
// The harness knows the product only by its binaries, its words and its JSON;
// it imports nothing of it. It waits for events, or polls a condition with a
// deadline ([Host.Eventually]); it never sleeps for time. When a test fails, it
// prints the daemon's log, `vsctl show`, the drops and the devices.
//
// Methods of one Host and of what hangs on it are called from the test's own
// goroutine, but for those of [Process], [Station] and [Monitor], which may be
// called from any.
package e2e
