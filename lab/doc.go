// Package lab builds networks of namespaces, virtual machines and switches from
// one file, and takes them down again.
//
// A lab goes through three steps: a [Spec] is what the file says, a [Topology] is
// what that means, with ranges, groups and defaults resolved and everything
// checked, and a plan is what has to be done so that the machine and the daemon
// look so.
package lab
