// Package frame says what an Ethernet frame is to the switch: addresses,
// 802.1Q tags, the offload metadata that travels with it, and the reasons for
// which one is dropped.
//
// A [Frame] is a view of bytes that somebody else owns. Nothing here allocates,
// copies a payload, makes a system call or keeps a reference to the bytes. A
// Frame is used by one goroutine at a time.
package frame
