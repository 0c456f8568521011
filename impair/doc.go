// Package impair decides what a line does to the frames that it carries: which
// it loses, doubles or damages, how long it holds each, and which overtake.
// [Config] says what somebody wants of one direction of a line, and [Line] says
// of each frame what becomes of it.
//
// It touches no frame and asks no clock: what it is told is a time and a length,
// and what it returns are times. Whoever holds the frames (package vswitch) does
// the rest.
//
// A frame goes through a direction in this order:
//
//	loss ─ doubling ─ damage ─ queue, which empties at the line's rate ─ delay and jitter
//
// The model is that of the kernel's netem (tc-netem(8)), which people know, with
// three differences. Loss in bursts is told by its average and the length of its
// bursts, and not by the probabilities of Gilbert's and Elliott's model that lead
// to them. The jitter of each distribution leaves the median delay where it was
// set. And the queue is what waits for the rate; what is under way does not
// count.
package impair
