//go:build !race

package vswitch

// modelConfigurations is how many configurations the model is tried with; with
// 200 frames each they are a million pairs.
const modelConfigurations = 5000
