//go:build !amd64 && !arm64

package fdb

func prefetch(b *bucket) { b[0].key.Load() }
