package vm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vswitch/vswitch/internal/stack"
	"github.com/vswitch/vswitch/lab/guest"
)

// A seed is a disk by which cloud-init finds out what its machine shall be: that
// of its data source NoCloud, with network configuration of version 2. QEMU makes
// the disk of a folder. YAML is read, and JSON is YAML.

const seedLabel = "CIDATA"

// seedNetwork is the file network-config.
type seedNetwork struct {
	Version   int                 `json:"version"`
	Ethernets map[string]seedLink `json:"ethernets"`
	VLANs     map[string]seedLink `json:"vlans,omitempty"`
}

type seedLink struct {
	Match     *seedMatch  `json:"match,omitempty"`
	SetName   string      `json:"set-name,omitempty"`
	ID        int         `json:"id,omitempty"`   // of a VLAN
	Link      string      `json:"link,omitempty"` // that it is on
	Addresses []string    `json:"addresses,omitempty"`
	Routes    []seedRoute `json:"routes,omitempty"`
	Optional  bool        `json:"optional"` // the machine comes up without it
}

type seedMatch struct {
	MAC string `json:"macaddress"`
}

type seedRoute struct {
	To  string `json:"to"`
	Via string `json:"via,omitempty"`
}

// network returns the file network-config. Routes are those of the first card
// where they do not name one.
func (m *Machine) network() seedNetwork {
	n := seedNetwork{Version: 2, Ethernets: make(map[string]seedLink), VLANs: make(map[string]seedLink)}
	for i, card := range m.Guest.Interfaces {
		link := seedLink{Match: &seedMatch{card.MAC}, SetName: card.Name, Addresses: card.Addresses, Optional: true}
		for _, r := range m.Guest.Routes {
			if r.Dev == card.Name || r.Dev == "" && i == 0 {
				link.Routes = append(link.Routes, seedRouteOf(r))
			}
		}
		n.Ethernets[card.Name] = link
		for _, v := range card.VLANs {
			n.VLANs[v.Name] = seedLink{ID: v.ID, Link: card.Name, Addresses: v.Addresses, Optional: true}
		}
	}
	return n
}

func seedRouteOf(r stack.Route) seedRoute {
	to := r.To
	if to == "default" {
		to = "0.0.0.0/0"
		if strings.Contains(r.Via, ":") {
			to = "::/0"
		}
	}
	return seedRoute{to, r.Via}
}

// vendorData is the file vendor-data, which what the user says takes precedence
// over.
func (m *Machine) vendorData() map[string]any {
	var settings strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.Guest.Sysctls)) {
		fmt.Fprintf(&settings, "%s = %s\n", name, m.Guest.Sysctls[name])
	}
	commands := [][]string{{"sysctl", "-q", "--system"}}
	return map[string]any{
		"write_files": []map[string]any{
			{"path": "/etc/sysctl.d/90-vswitch.conf", "content": settings.String()},
			{"path": "/etc/hosts", "content": m.Guest.Hosts, "append": true},
		},
		"runcmd":        append(commands, m.Guest.Exec...),
		"final_message": guest.Ready(m.Guest.Node),
	}
}

// writeSeed writes the files of the seed into a folder.
func (m *Machine) writeSeed(dir string) error {
	network, err := json.MarshalIndent(m.network(), "", "  ")
	if err != nil {
		return err
	}
	vendor, err := json.MarshalIndent(m.vendorData(), "", "  ")
	if err != nil {
		return err
	}
	user := []byte("#cloud-config\n{}\n")
	if m.UserData != "" {
		if user, err = os.ReadFile(m.UserData); err != nil {
			return err
		}
	}
	// Of an instance that it knows, cloud-init does nothing anew.
	sum := sha256.New()
	for _, text := range [][]byte{network, vendor, user} {
		sum.Write(text)
	}
	meta, err := json.Marshal(map[string]string{"instance-id": m.Name + "-" + hex.EncodeToString(sum.Sum(nil))[:12], "local-hostname": m.Guest.Node})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"meta-data":      append(meta, '\n'),
		"user-data":      user,
		"vendor-data":    append([]byte("#cloud-config\n"), append(vendor, '\n')...),
		"network-config": append(network, '\n'),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
