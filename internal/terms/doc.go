// Package terms reads what the words of the API ask for into the terms of the
// switch: VLAN policies and impairments. It is for the daemon, which does it, and
// for programs that say beforehand what the daemon would refuse. Errors have the
// API's codes.
package terms
