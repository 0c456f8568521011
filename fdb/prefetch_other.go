//go:build !amd64 && !arm64

package fdb

func prefetch(a, b *bucket) {
	a[0].key.Load()
	b[0].key.Load()
}
