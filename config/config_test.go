package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vswitch/vswitch/api"
)

// household is a configuration with a bit of everything.
func household() *Shown {
	line := api.Impairment{Delay: 0.02, Loss: 0.1, InOrder: true, Rate: 100e6}
	pass := api.PassAsSwitch
	return &Shown{
		Profiles: []ShownProfile{{"office", api.VLAN{Mode: api.ModeAccess, Access: 10}, api.Options{Isolated: true, PassReserved: pass}}},
		Switches: []ShownSwitch{
			{Switch: api.Switch{Name: "lab", AgeingSeconds: 0, FDBSize: 100, BPDU: api.BPDUDrop, PassReserved: "lldp"}},
			{
				Switch: api.Switch{Name: "sw0", AgeingSeconds: 300, FDBSize: 16384, BPDU: api.BPDUForward, PassReserved: "none"},
				Ports: []api.Port{
					{Name: "db", Kind: api.KindVeth, Netns: "db", IfName: "eth0", Profile: "office", VLAN: api.VLAN{Mode: api.ModeAccess, Access: 10}, State: api.StateDown},
					{Name: "host", Kind: api.KindTap, Device: "host", VLAN: api.VLAN{Mode: api.ModeNativeTagged, Trunk: api.VLANSet{"1", "20-30"}, Native: 1}, Options: api.Options{PassReserved: pass}, MTU: 9000},
					{Name: "nic", Kind: api.KindDev, Device: "eth1", VLAN: api.VLAN{Mode: api.ModeTunnel, Tunnel: 5, CVLANs: api.VLANSet{"0", "1-10"}}, Options: api.Options{PassReserved: "all", MaxMACs: 3, StormLimit: "bcast=100pps,mcast=1mbit"}},
					{Name: "up", Kind: api.KindPatch, Peer: "lab/up", VLAN: api.VLAN{Mode: api.ModeTrunk, Trunk: api.AllVLANs()}, Options: api.Options{PassReserved: pass}, Impair: api.Impairments{Egress: &line}},
					{Name: "web", Kind: api.KindVeth, Container: "web", IfName: "eth0", MAC: "02:00:00:00:00:01", IPs: []string{"10.0.0.1/24", "fd00::1/64"}, Gateways: []string{"10.0.0.254"}, VLAN: api.VLAN{Mode: api.ModeAccess, Access: 1}, Options: api.Options{PassReserved: pass, Sticky: true}, Impair: api.Impairments{Egress: &line, Ingress: &line}, Description: "the web: yes"},
				},
				Entries: []api.FDBEntry{{VLAN: 1, MAC: "02:00:00:00:00:02", Port: "nic", Type: api.Static}, {VLAN: 2, MAC: "02:00:00:00:00:03", Type: api.Filter}},
			},
		},
	}
}

const written = `version: 1
profiles:
  office:
    access: 10
    isolated: true
switches:
  lab:
    ageing: 0s
    fdb_size: 100
    bpdu: drop
    pass_reserved: lldp
  sw0:
    ports:
      db:
        netns: db
        ifname: eth0
        profile: office
        down: true
      host:
        tap: true
        ifname: host
        mtu: 9000
        trunk:
          - 1
          - 20-30
        native: 1
        native_tagged: true
      nic:
        dev: eth1
        tunnel: 5
        cvlans:
          - 0
          - 1-10
        max_macs: 3
        pass_reserved: all
        storm_limit:
          - bcast=100pps
          - mcast=1mbit
      up:
        patch: lab/up
        trunk: all
        impair:
          egress:
            delay: 20ms
            in_order: true
            loss: 0.1%
            rate: 100mbit
      web:
        container: web
        ifname: eth0
        mac: 02:00:00:00:00:01
        ip:
          - 10.0.0.1/24
          - fd00::1/64
        gateway: 10.0.0.254
        access: 1
        sticky: true
        description: "the web: yes"
        impair:
          delay: 20ms
          in_order: true
          loss: 0.1%
          rate: 100mbit
    fdb:
      - vlan: 1
        mac: 02:00:00:00:00:02
        port: nic
      - vlan: 2
        mac: 02:00:00:00:00:03
        drop: true
`

// TestWriteAndRead holds how a configuration is written, and that what is read
// asks for the same again; JSON as well.
func TestWriteAndRead(t *testing.T) {
	tree := household().Tree()
	text := tree.YAML()
	if diff := cmp.Diff(written, string(text)); diff != "" {
		t.Errorf("it is written otherwise (-want +got):\n%s", diff)
	}
	asJSON := tree.JSON()
	if !json.Valid(asJSON) {
		t.Errorf("this is no JSON: %s", asJSON)
	}
	specs := func(text []byte) (all []any) {
		doc, file := Read("f", text)
		if err := file.Err(); err != nil {
			t.Fatal(err)
		}
		for _, sw := range doc.Switches {
			if sw.Value == nil {
				sw.Value = new(Switch)
			}
			spec, err := sw.Value.Spec(sw.Key)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, spec)
			for _, p := range sw.Value.Ports {
				all = append(all, p.Value.Spec(sw.Key, p.Key))
			}
			for _, e := range sw.Value.FDB {
				all = append(all, e.Spec(sw.Key))
			}
		}
		return all
	}
	yes := specs(text)
	if diff := cmp.Diff(yes, specs(asJSON)); diff != "" {
		t.Errorf("JSON asks for something else (-YAML +JSON):\n%s", diff)
	}
	web := yes[6].(api.PortSpec)
	if web.Name != "web" || web.Kind != api.KindVeth || web.Container != "web" || *web.VLAN.Access != 1 || !*web.Options.Sticky || len(web.IPs) != 2 || *web.Impair.Ingress.Loss != 0.1 || web.Description != "the web: yes" {
		t.Errorf("the port web is %+v", web)
	}
	if host := yes[3].(api.PortSpec); host.Kind != api.KindTap || host.MTU != 9000 || host.VLAN.Trunk.String() != "1,20-30" || *host.VLAN.Native != 1 || !*host.VLAN.NativeTagged {
		t.Errorf("the port host is %+v", host)
	}
}

func TestReadSaysAllThatIsWrong(t *testing.T) {
	_, file := Read("f.yaml", []byte(`version: 2
profiles: {office: {access: 10}}
switches:
  sw0:
    ports:
      a: {netns: a, profil: office}
      b: {dev: eth0, vm: tap0}
      c: {access: 10}
      d:
      e: {netns: e, profile: offise}
      f: {netns: f, profile: office, access: 3}
`))
	err := file.Err()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	if !strings.Contains(err.Error(), `f.yaml:6:21: unknown key "profil"; did you mean "profile"?`) {
		t.Errorf("of an unknown key:\n%v", err)
	}
	_, file = Read("f.yaml", []byte(strings.Replace(`version: 2
profiles: {office: {access: 10}}
switches:
  sw0:
    ports:
      b: {dev: eth0, vm: tap0}
      c: {access: 10}
      d:
      e: {netns: e, profile: offise}
      f: {netns: f, profile: office, access: 3}
`, "profil:", "profile:", 1)))
	for _, want := range []string{
		"f.yaml:1:10: version 2 is newer than this program, which knows 1",
		"f.yaml:6:26: dev and vm are two kinds",
		"f.yaml:7:10: the port says nothing of what it hangs on",
		"f.yaml:8:7: the port d says nothing",
		`f.yaml:9:30: no profile "offise"; did you mean "office"?`,
		"f.yaml:10:46: access is the profile's to say",
	} {
		if err := file.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
}

// TestVLANsAreDecimal holds that no VLAN is read that is another one to other readers
// of YAML.
func TestVLANsAreDecimal(t *testing.T) {
	for _, x := range []struct{ vlans, want string }{
		{"access: 010", `"010" may mean 10, or 8 in octal: write 10 or 8`},
		{"trunk: 010", `"010" may mean 10, or 8 in octal: write 10 or 8`},
		{"trunk: [1, 010-20]", `"010" may mean 10, or 8 in octal: write 10 or 8`},
		{"trunk: [0x10]", `"0x10" is not written in decimal: write 16`},
		{"tunnel: 5, cvlans: [0, 08]", `"08" begins with a zero, as octal numbers do: write 8`},
	} {
		_, file := Read("f.yaml", []byte("switches: {s: {ports: {p: {tap: true, "+x.vlans+"}}}}\n"))
		if err := file.Err(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %s", x.vlans, err, x.want)
		}
	}
}
