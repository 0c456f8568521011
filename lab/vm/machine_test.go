package vm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/internal/stack"
	"github.com/vswitch/vswitch/lab/guest"
)

func TestImageFormat(t *testing.T) {
	for text, want := range map[string]string{"QFI\xfbrest": "qcow2", "KDMV....": "vmdk", "\x00\x00\x00\x00": "raw", "": "raw", "ab": "raw"} {
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := imageFormat(file); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestCheck holds that what is missing is named.
func TestCheck(t *testing.T) {
	if _, err := os.Stat("/usr/bin/qemu-system-x86_64"); err != nil {
		t.Skip("QEMU is not installed")
	}
	dir := t.TempDir()
	kernel := filepath.Join(dir, "vmlinuz-1")
	if err := os.WriteFile(kernel, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, m := range map[string]Machine{
		"no kernel is like": {Kernel: dir + "/bzImage-*"},
		"no such file":      {Kernel: kernel, Initrd: dir + "/none"},
		"is a folder":       {Image: dir},
	} {
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", m, err, want)
		}
	}
}

// TestSeed holds what cloud-init reads of a machine with two cards.
func TestSeed(t *testing.T) {
	m := Machine{Name: "lab-vm1", Guest: guest.Config{
		Node: "vm1",
		Interfaces: []guest.Interface{
			{Name: "eth0", MAC: "02:00:00:00:00:01", Addresses: []string{"10.0.0.1/24"}, VLANs: []guest.VLAN{{Name: "eth0.10", ID: 10, Addresses: []string{"10.0.10.1/24"}}}},
			{Name: "eth1", MAC: "02:00:00:00:00:02"},
		},
		Routes:  []stack.Route{{To: "default", Via: "10.0.0.254"}, {To: "default", Via: "fd00::1"}, {To: "10.9.0.0/16", Via: "10.1.0.1", Dev: "eth1"}},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1"},
		Exec:    [][]string{{"sh", "-c", "echo hello"}},
	}}
	network, err := json.Marshal(m.network())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"version":2,"ethernets":{` +
		`"eth0":{"match":{"macaddress":"02:00:00:00:00:01"},"set-name":"eth0","addresses":["10.0.0.1/24"],"routes":[{"to":"0.0.0.0/0","via":"10.0.0.254"},{"to":"::/0","via":"fd00::1"}],"optional":true},` +
		`"eth1":{"match":{"macaddress":"02:00:00:00:00:02"},"set-name":"eth1","routes":[{"to":"10.9.0.0/16","via":"10.1.0.1"}],"optional":true}},` +
		`"vlans":{"eth0.10":{"id":10,"link":"eth0","addresses":["10.0.10.1/24"],"optional":true}}}`
	if string(network) != want {
		t.Errorf("network-config is\n%s\nwant\n%s", network, want)
	}
	instance := func() string {
		dir := t.TempDir()
		if err := m.writeSeed(dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, "meta-data"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := instance()
	if again := instance(); again != first {
		t.Errorf("the same machine is another instance: %s, %s", first, again)
	}
	m.Guest.Interfaces[0].Addresses[0] = "10.0.0.2/24"
	if other := instance(); other == first {
		t.Errorf("a machine with another address is the same instance: %s", first)
	}
}
