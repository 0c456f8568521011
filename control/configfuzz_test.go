package control

import (
	"testing"

	"github.com/vswitch/vswitch/config"
)

// FuzzConfig holds that a document that is accepted is written as one that is
// accepted and means the same, and that the store's form of it leads back to it.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"",
		"version: 1\nswitches: {}\n",
		"profiles: {office: {access: 10, isolated: true, pass_reserved: lldp}}\nswitches: {sw0: {ageing: 60s, fdb_size: 7, bpdu: drop, ports: {a: {netns: a, profile: office, down: true}, b: {tap: true, ip: [10.0.0.1/24, 'fd00::1/64'], gateway: 10.0.0.2}}}}",
		"switches: {a: {ports: {x: {patch: b/y, trunk: [1, 5-9], native: 5, impair: {delay: 5ms, loss: 1%, rate: 1mbit}}}}, b: {fdb: [{vlan: 1, mac: 02:00:00:00:00:01, drop: true}, {vlan: 5, mac: 02:00:00:00:00:02, port: y}]}}",
		"switches: {s: {ports: {d: {dev: eth1, tunnel: 5, cvlans: [0, 7-9], description: 'a: b'}, v: {vm: tap1, owner: root, queues: 2, mtu: 9000}}}}",
		"switches: {s: {ports: {p: {tap: true, description: '? q'}}}}",
	} {
		f.Add(seed)
	}
	read := func(text []byte) (*model, error) {
		doc, file := config.Read("f", text)
		if err := file.Err(); err != nil {
			return nil, err
		}
		m := wanted(doc, file)
		return m, file.Err()
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := read([]byte(text))
		if err != nil {
			return
		}
		written := m.tree().YAML()
		stored, err := m.stored()
		if err != nil {
			t.Fatal(err)
		}
		kept, err := documentOf(stored)
		if err != nil {
			t.Fatal(err)
		}
		for what, again := range map[string][]byte{"written": written, "kept": kept} {
			m, err := read(again)
			if err != nil {
				t.Fatalf("as it is %s, it is not accepted: %v\n%s\nfrom\n%s", what, err, again, text)
			}
			if got := m.tree().YAML(); string(got) != string(written) {
				t.Fatalf("as it is %s, it means\n%s\nand meant\n%s\nfrom\n%s", what, got, written, text)
			}
		}
	})
}
