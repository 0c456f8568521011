// Package house holds the tests of how the repository is built: which package
// may import which, that each says what it is, and that no file leads out of
// it. It has no code; docs/architecture.md draws what is held here.
package house
