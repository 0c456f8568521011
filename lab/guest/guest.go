// Package guest is what a lab has inside of its virtual machines: process 1 of
// those that boot the lab's own initial RAM disk, and a helper beside the process
// 1 of those that bring theirs. It gives the guest's network interfaces names and
// addresses, and says on the console when it is done.
package guest

import (
	"fmt"
	"strings"

	"github.com/vswitch/vswitch/internal/stack"
)

// Where things are in a guest's first file system.
const (
	InitPath    = "vswitch/init"    // this program
	ConfigPath  = "vswitch/config"  // a [Config], as JSON
	ModulesPath = "vswitch/modules" // that are loaded first, where it is there
)

// Config is what a guest is told.
type Config struct {
	Lab        string            `json:"lab"`
	Node       string            `json:"node"`
	Interfaces []Interface       `json:"interfaces"`
	Routes     []stack.Route     `json:"routes,omitempty"`
	Sysctls    map[string]string `json:"sysctls,omitempty"`
	Hosts      string            `json:"hosts,omitempty"` // lines of a hosts(5) file
	Env        map[string]string `json:"env,omitempty"`
	Exec       [][]string        `json:"exec,omitempty"` // commands, when all else is done

	// Next is the program that goes on as process 1; "": the lab's own.
	Next string `json:"next,omitempty"`
}

// Interface is a network card of the guest, which is known by its address.
type Interface struct {
	Name      string   `json:"name"` // that it gets
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses,omitempty"` // with the lengths of their prefixes
	VLANs     []VLAN   `json:"vlans,omitempty"`
}

// VLAN is an interface of one VLAN on a card.
type VLAN struct {
	Name      string   `json:"name"`
	ID        int      `json:"id"`
	Addresses []string `json:"addresses,omitempty"`
}

// What a guest says on its console, on a line of its own.
const (
	saysReady  = "ready"
	saysFailed = "failed: "
)

// Ready is the line by which a guest says that it is as the lab wants it.
func Ready(node string) string { return line(node, saysReady) }

// Failed is the line by which it says that it is not.
func Failed(node string, err error) string {
	return line(node, saysFailed+strings.ReplaceAll(err.Error(), "\n", "; "))
}

func line(node, what string) string { return fmt.Sprintf("vswitch: %s: %s", node, what) }

// Heard finds in a line of the console what the guest says: whether it is ready,
// or why it will not be.
func Heard(node, text string) (ready bool, failed string) {
	_, says, ok := strings.Cut(strings.TrimRight(text, "\r\n"), line(node, ""))
	if !ok {
		return false, ""
	}
	failed, isFailure := strings.CutPrefix(says, saysFailed)
	if !isFailure {
		return says == saysReady, ""
	}
	return false, failed
}
