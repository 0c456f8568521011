//go:build amd64 || arm64

package fdb

// prefetch begins to fetch two buckets, and waits for nothing. A plain load would
// do so too, but the processor runs no further than some hundred instructions
// ahead of one that waits for memory: two frames or three.
//
//go:noescape
func prefetch(a, b *bucket)
