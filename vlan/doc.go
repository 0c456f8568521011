// Package vlan says which VLAN a frame belongs to when it comes in by a port,
// and in which form, if at all, it leaves by another.
//
// A [Policy] is the VLAN side of a port's configuration. Its two rules,
// [Policy.Ingress] and [Policy.Egress], are pure: they look at the policy and
// the frame, allocate nothing and keep nothing. A Policy and a [Set] may be
// read by any number of goroutines once nobody changes them any more.
package vlan
