//go:build race

package fdb

// The race detector makes everything ten times slower.
func init() { raceDetector = true }
