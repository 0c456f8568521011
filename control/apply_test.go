package control_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/control/controltest"
	"github.com/vswitch/vswitch/frame"
)

// configOf returns the configuration as it stands, in YAML.
func configOf(t testing.TB, d *controltest.Daemon) string {
	t.Helper()
	resp, text := ask(t, d, "GET", "/v1/config?format=yaml", "")
	var c api.ConfigText
	if err := json.Unmarshal([]byte(text), &c); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET /v1/config: %s %s", resp.Status, text)
	}
	return c.Text
}

// apply asks for a configuration, and returns what was done, or why nothing was.
func apply(t testing.TB, d *controltest.Daemon, text string, dryRun bool) (r api.ConfigResult, refusal string) {
	t.Helper()
	body, err := json.Marshal(api.ConfigSpec{Text: text, Name: "f.yaml", DryRun: dryRun})
	if err != nil {
		t.Fatal(err)
	}
	resp, answer := ask(t, d, "POST", "/v1/config", string(body))
	if resp.StatusCode != http.StatusOK {
		var e api.ErrorBody
		if err := json.Unmarshal([]byte(answer), &e); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		return r, e.Error.Message
	}
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return r, ""
}

const furnished = `version: 1
profiles:
  office:
    access: 10
    isolated: true
  phones:
    access: 20
switches:
  lab:
    pass_reserved: lldp
    ports:
      up:
        patch: sw0/up
        trunk:
          - 10
          - 20-30
        description: to the office
  sw0:
    ageing: 60s
    ports:
      db:
        netns: db
        ifname: eth0
        profile: office
      host:
        tap: true
        ifname: host
        access: 1
      nic:
        dev: eth9
        trunk: all
        native: 5
        sticky: true
        storm_limit: 1000pps
      up:
        patch: lab/up
        trunk:
          - 10
          - 20-30
        impair:
          egress:
            delay: 20ms
      web:
        netns: web
        ifname: eth0
        mac: 02:00:00:00:00:01
        ip: 10.0.0.1/24
        gateway: 10.0.0.254
        mtu: 1400
        access: 10
        down: true
        description: the web
    fdb:
      - vlan: 5
        mac: 02:00:00:00:00:09
        port: nic
      - vlan: 7
        mac: 02:00:00:00:00:0a
        drop: true
`

// TestConfigRoundTrip holds that what is shown is what is asked for, on an empty
// daemon and again, in YAML and in JSON.
func TestConfigRoundTrip(t *testing.T) {
	d := start(t, nil)
	r, refusal := apply(t, d, furnished, false)
	if refusal != "" {
		t.Fatal(refusal)
	}
	if got := configOf(t, d); got != furnished {
		t.Errorf("asked for\n%s\nand got\n%s", furnished, got)
	}
	if !strings.Contains(r.Diff, "--- running\n+++ wanted\n") || !strings.Contains(r.Diff, "\n+      web:\n") {
		t.Errorf("the difference is\n%s", r.Diff)
	}
	_, asJSON := ask(t, d, "GET", "/v1/config", "")
	for _, text := range []string{furnished, asJSON} {
		if r, refusal = apply(t, d, text, false); refusal != "" || len(r.Changes) > 0 || r.Diff != "" {
			t.Errorf("the same again: %s %q\n%s", refusal, r.Changes, r.Diff)
		}
	}
	other := start(t, nil)
	if _, refusal := apply(t, other, asJSON, false); refusal != "" {
		t.Fatal(refusal)
	}
	if got := configOf(t, other); got != furnished {
		t.Errorf("from JSON comes\n%s", got)
	}
	if r, refusal := apply(t, d, "switches: {sw0: {}}", false); refusal != "" || configOf(t, d) != "version: 1\nswitches:\n  sw0: {}\n" {
		t.Errorf("nothing: %s %q\n%s", refusal, r.Changes, configOf(t, d))
	}
}

// TestComparingHoldsNobodyUp has a document be compared that takes a while: others change
// and see things meanwhile.
func TestComparingHoldsNobodyUp(t *testing.T) {
	d := start(t, nil)
	var text strings.Builder
	text.WriteString("switches: {sw0: {ports: {p: &p {netns: a}")
	for i := range 4_000 {
		fmt.Fprintf(&text, ",\n p%d: *p", i)
	}
	text.WriteString("}}}\n")
	compared := make(chan string)
	go func() {
		_, refusal := apply(t, d, text.String(), true)
		compared <- refusal
	}()
	answers := 0
	for {
		select {
		case refusal := <-compared:
			if refusal != "" || answers == 0 {
				t.Errorf("compared: %.200q, while %d others were answered", refusal, answers)
			}
			return
		default:
		}
		method, path, body := "GET", "/v1/show", ""
		if answers%2 == 0 {
			method, path, body = "POST", "/v1/switches", fmt.Sprintf(`{"name":"s%d"}`, answers)
		}
		if resp, text := ask(t, d, method, path, body); resp.StatusCode >= 300 {
			t.Errorf("%s %s: %s %s", method, path, resp.Status, text)
		}
		answers++
	}
}

// TestConfigTouchesOnlyDifferences holds what is done for a few changes, that a dry
// run does nothing, and that other ports keep their devices and stations.
func TestConfigTouchesOnlyDifferences(t *testing.T) {
	d := start(t, nil)
	if _, refusal := apply(t, d, furnished, false); refusal != "" {
		t.Fatal(refusal)
	}
	before := d.Attached()
	next := strings.NewReplacer(
		"        access: 10\n        down: true\n", "        profile: phones\n",
		"  phones:\n    access: 20", "  phones:\n    access: 21",
		"        netns: db", "        netns: db2",
		"ageing: 60s", "ageing: 90s",
		"          egress:\n            delay: 20ms", "          egress:\n            delay: 30ms",
		"vlan: 7", "vlan: 8",
	).Replace(furnished)
	dry, refusal := apply(t, d, next, true)
	want := []string{
		"remove entry sw0 VLAN 7 02:00:00:00:00:0a",
		"remove port sw0/db",
		"change switch sw0: ageing: have 60s, asked 90s",
		"change profile phones: vlan: have access VLAN 20, asked access VLAN 21",
		"add port sw0/db",
		"change port sw0/up: impair: have egress delay 20ms, asked egress delay 30ms",
		"change port sw0/web: profile: have none, asked phones; down: have true, asked false",
		"add entry sw0 VLAN 8 02:00:00:00:00:0a",
	}
	if refusal != "" || strings.Join(dry.Changes, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwould be done:\n%s\nwant:\n%s", refusal, strings.Join(dry.Changes, "\n"), strings.Join(want, "\n"))
	}
	if got := configOf(t, d); got != furnished {
		t.Errorf("the dry run has changed\n%s", got)
	}
	done, refusal := apply(t, d, next, false)
	if refusal != "" || strings.Join(done.Changes, "\n") != strings.Join(want, "\n") || done.Diff != dry.Diff {
		t.Errorf("%s\nwas done:\n%s", refusal, strings.Join(done.Changes, "\n"))
	}
	if got := configOf(t, d); got != next {
		t.Errorf("asked for\n%s\nand got\n%s", next, got)
	}
	for name, was := range before {
		if now := d.Attached()[name]; now != was && name != "sw0/db" {
			t.Errorf("%s was made anew: device %d, now %d", name, was, now)
		}
	}
}

// TestConfigChangesProfilesAroundPorts has profiles change while ports leave them, join
// them and change places. No port is in another VLAN than its first and its last one
// at any time: what stays in its VLAN keeps its entries.
func TestConfigChangesProfilesAroundPorts(t *testing.T) {
	for _, c := range []struct{ name, before, after, steps string }{
		{"leaves",
			"profiles: {office: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}}}}",
			"profiles: {office: {access: 20}}\nswitches: {sw0: {ports: {a: {netns: a, access: 10}}}}",
			`change port sw0/a: profile: have office, asked none
change profile office: vlan: have access VLAN 10, asked access VLAN 20`},
		{"joins",
			"profiles: {office: {access: 20}}\nswitches: {sw0: {ports: {a: {netns: a, access: 10}}}}",
			"profiles: {office: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}}}}",
			`change profile office: vlan: have access VLAN 20, asked access VLAN 10
change port sw0/a: profile: have none, asked office`},
		{"goes to one that changes, from one that goes",
			"profiles: {office: {access: 10}, phones: {access: 20}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}}}}",
			"profiles: {phones: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: phones}}}}",
			`change profile phones: vlan: have access VLAN 20, asked access VLAN 10
change port sw0/a: profile: have office, asked phones
remove profile office`},
		{"goes to one that stays, from one that changes",
			"profiles: {office: {access: 10}, phones: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}}}}",
			"profiles: {office: {access: 20}, phones: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: phones}}}}",
			`change port sw0/a: profile: have office, asked phones
change profile office: vlan: have access VLAN 10, asked access VLAN 20`},
		{"goes to one that is new, from one that changes",
			"profiles: {office: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}}}}",
			"profiles: {office: {access: 20}, phones: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: phones}}}}",
			`change port sw0/a: profile: have office, asked none
change profile office: vlan: have access VLAN 10, asked access VLAN 20
add profile phones
change port sw0/a: profile: have none, asked phones`},
		{"two change places, and their profiles change",
			"profiles: {office: {access: 10}, phones: {access: 20}}\nswitches: {sw0: {ports: {a: {netns: a, profile: office}, b: {netns: b, profile: phones}}}}",
			"profiles: {office: {access: 20}, phones: {access: 10}}\nswitches: {sw0: {ports: {a: {netns: a, profile: phones}, b: {netns: b, profile: office}}}}",
			`change port sw0/a: profile: have office, asked none
change port sw0/b: profile: have phones, asked none
change profile office: vlan: have access VLAN 10, asked access VLAN 20
change profile phones: vlan: have access VLAN 20, asked access VLAN 10
change port sw0/a: profile: have none, asked phones
change port sw0/b: profile: have none, asked office`},
	} {
		d := start(t, nil)
		if _, refusal := apply(t, d, c.before, false); refusal != "" {
			t.Fatalf("%s: %s", c.name, refusal)
		}
		was, ports := configOf(t, d), strings.Count(c.before, "netns:")
		for i, name := range []string{"sw0/a", "sw0/b"}[:ports] {
			if err := d.Learn(name, frame.MAC{2, 0, 0, 0, 0, byte(i)}, 0); err != nil {
				t.Fatal(err)
			}
		}
		// It is taken back in the same way.
		spoiled := strings.Replace(c.after, "ports: {", "ports: {z: {netns: "+controltest.Unfit+"}, ", 1)
		if _, refusal := apply(t, d, spoiled, false); !strings.Contains(refusal, "nothing was changed") || configOf(t, d) != was {
			t.Errorf("%s: %q has left\n%s", c.name, refusal, configOf(t, d))
		}
		if n := d.Stations("sw0"); n != ports {
			t.Errorf("%s: %d of %d stations are known after nothing was changed", c.name, n, ports)
		}
		r, refusal := apply(t, d, c.after, false)
		if got := strings.Join(r.Changes, "\n"); refusal != "" || got != c.steps {
			t.Errorf("%s: %s\nwas done:\n%s\nwant:\n%s", c.name, refusal, got, c.steps)
		}
		if n := d.Stations("sw0"); n != ports {
			t.Errorf("%s: %d of %d stations are known afterwards", c.name, n, ports)
		}
		if r, refusal := apply(t, d, c.after, true); refusal != "" || len(r.Changes) > 0 {
			t.Errorf("%s: it is not as asked: %s %q", c.name, refusal, r.Changes)
		}
	}
}

// TestConfigWholeOrNotAtAll has each kind of change fail behind others, and holds
// that all is as it was.
func TestConfigWholeOrNotAtAll(t *testing.T) {
	d := start(t, nil)
	if _, refusal := apply(t, d, furnished, false); refusal != "" {
		t.Fatal(refusal)
	}
	unfit := "      z:\n        netns: " + controltest.Unfit + "\n"
	for name, text := range map[string]string{
		"all new":       "switches: {other: {ports: {a: {tap: true}, b: {patch: more/b}, z: {netns: " + controltest.Unfit + "}}}, more: {}}",
		"nothing stays": "switches: {sw0: {ports: {z: {netns: " + controltest.Unfit + "}}}}",
		"many changes": strings.NewReplacer("    fdb:\n", unfit+"    fdb:\n", "access: 20", "access: 22", "netns: db", "netns: db3",
			"vlan: 7", "vlan: 9", "patch: lab/up", "patch: lab/down", "      up:\n        patch: sw0/up", "      down:\n        patch: sw0/up", "ageing: 60s", "ageing: 70s", "isolated: true", "hairpin: true").Replace(furnished),
	} {
		_, refusal := apply(t, d, text, false)
		if !strings.Contains(refusal, "nothing was changed") && !strings.Contains(refusal, "as it was, with these ports made again: lab/") || !strings.Contains(refusal, controltest.Unfit) {
			t.Errorf("%s: %q", name, refusal)
		}
		if got := configOf(t, d); got != furnished {
			t.Errorf("%s: asked in vain, and got\n%s", name, got)
		}
	}
}

// TestConfigOfWhatIsAbsent has ports stand whose namespace, container or device is not
// there: lost, with a warning, which a dry run gives as well where no container's engine
// would have to be asked. What is shown then is accepted by an empty daemon.
func TestConfigOfWhatIsAbsent(t *testing.T) {
	const text = `version: 1
switches:
  sw0:
    ports:
      a:
        netns: a
        ifname: eth0
        access: 1
      c:
        container: absent
        access: 1
      d:
        dev: absent
        access: 1
      e:
        netns: absent
        access: 1
    fdb:
      - vlan: 1
        mac: 02:00:00:00:00:01
        port: e
`
	d := start(t, nil)
	dry, refusal := apply(t, d, text, true)
	if w := strings.Join(dry.Warnings, "\n"); refusal != "" || strings.Count(w, "\n") != 1 ||
		!strings.HasPrefix(w, "port sw0/d is lost until it has what it hangs on: absent is not there") || !strings.Contains(w, "\nport sw0/e is lost") {
		t.Errorf("a dry run: %s %q", refusal, dry.Warnings)
	}
	for range 2 {
		done, refusal := apply(t, d, text, false)
		if refusal != "" || len(done.Warnings) != 3 || !strings.HasPrefix(done.Warnings[0], "port sw0/c is lost") || !slices.Equal(done.Warnings[1:], dry.Warnings) {
			t.Errorf("%s %q", refusal, done.Warnings)
		}
		if got := configOf(t, d); got != text {
			t.Errorf("asked for\n%s\nand got\n%s", text, got)
		}
		if _, p := ask(t, d, "GET", "/v1/ports/sw0/e", ""); !strings.Contains(p, `"state":"lost"`) || !strings.Contains(p, "absent is not there") {
			t.Errorf("what is absent has the port %s", p)
		}
		if again, refusal := apply(t, d, text, false); refusal != "" || len(again.Changes) > 0 || len(again.Warnings) > 0 {
			t.Errorf("the same again: %s %q %q", refusal, again.Changes, again.Warnings)
		}
		// What is lost comes again so where its end is taken back.
		_, refusal = apply(t, d, "switches: {sw0: {ports: {z: {netns: "+controltest.Unfit+"}}}}", false)
		if !strings.Contains(refusal, "made again: sw0/a, sw0/c, sw0/d, sw0/e") || configOf(t, d) != text {
			t.Errorf("%q has left\n%s", refusal, configOf(t, d))
		}
		d = start(t, nil)
	}
}

// TestConfigTakesEntriesAlong has a port go whose patch leads to another switch, with
// the static entries of both ends: they are no steps of their own, and come again
// where it is taken back.
func TestConfigTakesEntriesAlong(t *testing.T) {
	d := start(t, nil)
	const before = `version: 1
switches:
  lab:
    ports:
      q:
        patch: sw0/p
        access: 1
    fdb:
      - vlan: 1
        mac: 02:00:00:00:00:0b
        port: q
  sw0:
    ports:
      p:
        patch: lab/q
        access: 1
    fdb:
      - vlan: 1
        mac: 02:00:00:00:00:0a
        port: p
      - vlan: 1
        mac: 02:00:00:00:00:0c
        drop: true
`
	if _, refusal := apply(t, d, before, false); refusal != "" {
		t.Fatal(refusal)
	}
	_, refusal := apply(t, d, "switches: {lab: {}, sw0: {ports: {z: {netns: "+controltest.Unfit+"}}}}", false)
	if !strings.Contains(refusal, "as it was, with these ports made again: lab/q") {
		t.Errorf("of what cannot be made: %q", refusal)
	}
	if got := configOf(t, d); got != before {
		t.Errorf("asked in vain, and got\n%s", got)
	}
	r, refusal := apply(t, d, "switches: {lab: {}, sw0: {}}", false)
	want := "remove entry sw0 VLAN 1 02:00:00:00:00:0c\nremove port lab/q"
	if got := strings.Join(r.Changes, "\n"); refusal != "" || got != want {
		t.Errorf("%s\nwas done:\n%s\nwant:\n%s", refusal, got, want)
	}
	if got := configOf(t, d); got != "version: 1\nswitches:\n  lab: {}\n  sw0: {}\n" {
		t.Errorf("there is\n%s", got)
	}
}

// TestConfigRefusesWhatNoMachineHas has documents be refused, by a dry run as well,
// whose ports cannot stand on any machine, or not beside each other.
func TestConfigRefusesWhatNoMachineHas(t *testing.T) {
	d := start(t, nil)
	for _, c := range []struct{ ports, want string }{ // ^ is the place that is named
		{"a: {dev: eth1}, b: {dev: ^eth1}", "the port sw0/a has eth1 on the host already"},
		{"a: {vm: t}, b: {dev: ^t}", "the port sw0/a has t on the host already"},
		{"a: {tap: true, ifname: t}, b: {tap: true, ifname: ^t}", "the port sw0/a has t on the host already"},
		{"a: {veth: true, ifname: t}, b: {dev: ^t}", "the port sw0/a has t on the host already"},
		{"a: {netns: x, ifname: e}, b: {netns: /run/netns/x, tap: true, ifname: ^e}", "the port sw0/a has e in namespace x already"},
		{"a: {container: x, ifname: e}, b: {container: x, ifname: ^e}", "the port sw0/a has e in container x already"},
		{"a: {dev: ^lo}", "lo is the loopback"},
		{"a: {netns: x, ifname: ^lo}", "lo is the loopback"},
		{"a: {netns: x, ifname: ^all}", `ifname "all" is no name`},
		{"a: {tap: true, ifname: ^default, trunk: all}", `ifname "default" is no name`},
		{"a: {dev: ^default}", `device "default" is no name`},
		{"a: {netns: x, ifname: ^sixteen-letters.}", `ifname "sixteen-letters." is no name`},
		{"a: {netns: x, ifname: ^e%d}", `"e%d" cannot name an interface`},
		{"a: {vm: ^e%d}", `"e%d" cannot name an interface`},
		{"a: {netns: x, access: 10, mtu: ^10}", "mtu 10 is not possible: give 68 to 65535"},
		{"a: {tap: true, mtu: ^65530}", "mtu 65530 is not possible: give 68 to 65521"},
		{"a: {netns: x, ip: 'fd00::1/64', mtu: ^1000}", "MTU 1000 is too small for the IPv6 address fd00::1/64"},
		{"a: {netns: x, ip: ^127.0.0.1/8}", "127.0.0.1/8 is not the address of a station"},
		{"a: {netns: x, ip: 10.0.0.1/24, gateway: ^10.0.1.1}", "gateway 10.0.1.1 is in none of the prefixes"},
	} {
		text := "switches: {sw0: {ports: {" + c.ports + "}}}"
		want := fmt.Sprintf("f.yaml:1:%d: %s", strings.Index(text, "^")+1, c.want)
		text = strings.Replace(text, "^", "", 1)
		for _, dry := range []bool{true, false} {
			_, refusal := apply(t, d, text, dry)
			if !strings.HasPrefix(refusal, want) || !strings.Contains(refusal, "\n    1 | ") || strings.Count(refusal, "\n") != 2 {
				t.Errorf("%s, dry run %v: want %s, and got %s", text, dry, want, refusal)
			}
		}
	}
	// One name in two places is no clash, nor are names that are left open.
	if _, refusal := apply(t, d, "switches: {sw0: {ports: {a: {netns: x, ifname: e}, b: {netns: y, ifname: e}, c: {tap: true, ifname: e}, d: {netns: x}, e: {netns: x}}}}", false); refusal != "" {
		t.Error(refusal)
	}
}

// TestConfigSaysWhereItIsWrong names lines and columns, also of what only the
// daemon knows.
func TestConfigSaysWhereItIsWrong(t *testing.T) {
	d := start(t, nil)
	_, refusal := apply(t, d, `switches:
  sw0:
    ageing: soon
    ports:
      a: {netns: x, access: 5000}
      b: {netns: x, mtu: 99999}
      c: {patch: lob/c}
      d: {tap: true, owner: me}
      e: {netns: x, ip: 10.0.0.1}
    fdb:
      - {vlan: 1, mac: 02:00:00:00:00:01, port: q}
      - {vlan: 1, mac: 2, port: a}
      - {vlan: 1, mac: "02:00:00:00:00:01", port: b}
  "s w": {}
  lab: {bpdu: eat, ports: {me: {patch: lab/me}}}
`, false)
	for _, want := range []string{
		"f.yaml:3:13: \"soon\"", "f.yaml:5:29: ", "f.yaml:6:26: mtu 99999", `f.yaml:7:18: no switch "lob"; did you mean "lab"?`, "f.yaml:8:29: owner does not fit",
		"f.yaml:9:", `f.yaml:11:49: switch sw0 has no port "q"`, "f.yaml:12:24: ", "f.yaml:13:16: VLAN 1 02:00:00:00:00:01 has an entry already", "f.yaml:14:3: ", "f.yaml:15:15: ", "f.yaml:15:40: a patch joins two ports", "    3 |     ageing: soon",
	} {
		if !strings.Contains(refusal, want) {
			t.Errorf("no %q in\n%s", want, refusal)
		}
	}
	if got := configOf(t, d); got != "version: 1\nswitches:\n  sw0: {}\n" {
		t.Errorf("it has left\n%s", got)
	}
	for _, empty := range []string{"", "\n", "version: 1\n", "{}"} {
		if _, refusal := apply(t, d, empty, false); !strings.Contains(refusal, "there are no switches") {
			t.Errorf("%q: %q", empty, refusal)
		}
	}
	_, refusal = apply(t, d, "version: 9\nswitches: {}", false)
	if !strings.Contains(refusal, "newer") {
		t.Errorf("of a newer one: %s", refusal)
	}
}

// TestAnyDescriptionIsShownAndApplied holds that no words of a description make a
// configuration that cannot be shown, or applied again.
func TestAnyDescriptionIsShownAndApplied(t *testing.T) {
	for _, words := range []string{"? q", "- x", "<<", "on", "010", "52:54:00:12:34:56", "a: b # c"} {
		text := "version: 1\nswitches:\n  sw0:\n    ports:\n      p:\n        tap: true\n        access: 1\n        description: " + strconv.Quote(words) + "\n"
		d := start(t, nil)
		if _, refusal := apply(t, d, text, false); refusal != "" {
			t.Errorf("%q is refused: %s", words, refusal)
			continue
		}
		shown := configOf(t, d)
		if again, refusal := apply(t, d, shown, true); refusal != "" || len(again.Changes) > 0 {
			t.Errorf("%q, shown and applied again: changes %q, refusal %q, want none\n%s", words, again.Changes, refusal, shown)
		}
	}
}

// TestConfigThatIsLong holds that a configuration is not too long for what it was shown
// by, though it is for any other request.
func TestConfigThatIsLong(t *testing.T) {
	d := start(t, nil)
	var text strings.Builder
	text.WriteString("switches:\n  sw0:\n    ports:\n")
	for i := range 1_100 {
		fmt.Fprintf(&text, "      p%d: {netns: a%d, description: %s}\n", i, i, strings.Repeat("😀", 255))
	}
	if _, refusal := apply(t, d, text.String(), false); refusal != "" {
		t.Fatalf("%.300s", refusal)
	}
	shown := configOf(t, d)
	if len(shown) < control.MaxBody {
		t.Fatalf("it has %d octets only", len(shown))
	}
	if again, refusal := apply(t, d, shown, false); refusal != "" || len(again.Changes) > 0 {
		t.Errorf("shown and applied again: %d changes, refusal %.300q", len(again.Changes), refusal)
	}
}
