// Package config is the configuration of a daemon as a document that people keep:
// switches, ports, VLANs, options, static entries. It reads one, and writes one.
// The keys are the flags of vsctl, with underscores.
package config
