//go:build race

package vswitch

// modelConfigurations is how many configurations the model is tried with. The
// race detector makes each ten times as dear, and one goroutine has no races:
// with it there are fewer, and make test runs the million without it.
const modelConfigurations = 500
