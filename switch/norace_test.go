//go:build !race

package vswitch

const racing = false
