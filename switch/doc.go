// Package vswitch is the switch: ports, a forwarding database, the decision
// what happens to each frame, and the workers that carry it out. (The folder
// is named switch, which Go keeps as a keyword.)
//
// An [Engine] owns the workers and any number of switches, which share them.
// Its methods may be called by many goroutines at once. They return when what
// they did is in force: a frame that arrives later is treated accordingly.
//
// Three kinds of state meet here, and each has its rule:
//
//   - Configuration is an immutable snapshot a switch, behind an atomic
//     pointer. A worker loads it after it has received a batch; a change builds
//     the next one. What a change takes away (a device, a VLAN's entries) is
//     released only after every worker has passed the end of its batch.
//   - The forwarding database is read without locks; see package fdb.
//   - Counters have one writer each, the worker whose share they are.
//
// A worker allocates nothing, takes no lock that a request can hold, and never
// waits for a port.
package vswitch
