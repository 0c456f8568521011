//go:build race

package vswitch

// racing says that the race detector is at work. It makes everything ten times as
// dear, and sync.Pool forget a part of what it is given.
const racing = true
