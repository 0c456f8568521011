package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/control/controltest"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

func start(t testing.TB, log *slog.Logger) *controltest.Daemon {
	t.Helper()
	d, err := controltest.Start(filepath.Join(t.TempDir(), "s"), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("end the daemon: %v", err)
		}
	})
	return d
}

// ask makes one request, as curl would.
func ask(t testing.TB, d *controltest.Daemon, method, path, body string) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", d.Socket)
		},
	}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://vswitchd"+path, r)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(b)
}

const (
	vethP1 = `{"name":"p1","kind":"veth","netns":"web","vlan":{"access":10}}`
	trunk  = `{"name":"t1","kind":"dev","device":"eth9","vlan":{"trunk":["10","20-30"],"native":5}}`
	tunnel = `{"name":"q1","kind":"tap","vlan":{"tunnel":7,"cvlans":["0-9"]}}`
)

// furnish makes three ports on sw0.
func furnish(t testing.TB, d *controltest.Daemon) {
	t.Helper()
	for _, body := range []string{vethP1, trunk, tunnel} {
		if resp, text := ask(t, d, "POST", "/v1/ports", body); resp.StatusCode != http.StatusCreated {
			t.Fatalf("POST %s: %s %s", body, resp.Status, text)
		}
	}
}

func TestRequestsAndTheirStatus(t *testing.T) {
	d := start(t, nil)
	furnish(t, d)
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string // part of the answer
	}{
		{"GET", "/v1/version", "", 200, `{"version":"` + controltest.Version + `"}`},
		{"HEAD", "/v1/version", "", 200, ""},
		{"GET", "/v1/version?x=1", "", 400, `no parameter \"x\"`},
		{"GET", "/v1/ports?switch=sw0&switch=sw1", "", 400, "more than once"},
		{"GET", "/v1/ports?%zz", "", 400, "malformed"},
		{"GET", "/v1/ports", "{}", 400, "takes no body"},
		{"GET", "/v1/nothing", "", 404, "nothing is at /v1/nothing"},
		{"GET", "/", "", 404, "below /v1/"},
		{"PUT", "/v1/ports", "{}", 405, "use GET or POST"},
		{"DELETE", "/v1/show", "", 405, "use GET"},
		{"POST", "/v1/events", "{}", 405, "use GET"},

		{"GET", "/v1/switches", "", 200, `[{"name":"sw0","ageing_seconds":300,"fdb_size":16384,"bpdu":"forward","pass_reserved":"none","port_count":3,"fdb":{"dynamic":0,"static":0,"filter":0}}]`},
		{"GET", "/v1/switches/nope", "", 404, "not-found"},
		{"POST", "/v1/switches", `{"name":"sw0"}`, 409, `"code":"exists"`},
		{"POST", "/v1/switches", `{"name":"sw0","may_exist":true}`, 200, `"name":"sw0"`},
		{"POST", "/v1/switches", `{"name":"sw0","may_exist":true,"ageing_seconds":1}`, 409, "ageing: have 300s, asked 1s"},
		{"POST", "/v1/switches", `{"name":"a/b"}`, 400, "cannot name a switch"},
		{"POST", "/v1/switches", `{"name":"x","bpdu":"eat"}`, 400, "forward or drop"},
		{"POST", "/v1/switches", `{"name":"x","ageing_seconds":-1}`, 400, "ageing"},
		{"POST", "/v1/switches", `{"name":"x","ageing_seconds":1e300}`, 400, "ageing"},
		{"POST", "/v1/profiles", `{"name":"none"}`, 400, "cannot be called none"},
		{"POST", "/v1/switches", `{"name":"x","fdb_size":0}`, 400, "fdb_size 0: a forwarding database"},
		{"POST", "/v1/switches", `{"name":"x","pass_reserved":"lldp,lldpx"}`, 400, "reserved addresses"},
		{"PATCH", "/v1/switches/sw0", `{"name":"sw1"}`, 400, "keeps its name"},
		{"PATCH", "/v1/switches/nope", `{"bpdu":"drop"}`, 404, "not-found"},
		{"DELETE", "/v1/switches/nope", "", 404, "not-found"},

		{"GET", "/v1/ports/sw0/p1", "", 200, `"vlan":{"mode":"access","access":10}`},
		{"GET", "/v1/ports/sw0/t1", "", 200, `"vlan":{"mode":"native-untagged","trunk":["10","20-30"],"native":5}`},
		{"GET", "/v1/ports/sw0/q1", "", 200, `"vlan":{"mode":"tunnel","tunnel":7,"cvlans":["0-9"]}`},
		{"GET", "/v1/ports/sw0/nope", "", 404, "not-found"},
		{"GET", "/v1/ports/nope/p1", "", 404, "not-found"},
		{"GET", "/v1/ports?switch=nope", "", 404, "not-found"},
		{"POST", "/v1/ports", vethP1, 409, `"code":"exists"`},
		{"POST", "/v1/ports", `{"name":"x","kind":"veth","netns":"absent"}`, 404, "absent"},
		{"POST", "/v1/ports", `{"switch":"nope","name":"x","kind":"tap"}`, 404, "not-found"},
		{"DELETE", "/v1/ports/sw0/nope", "", 404, "not-found"},
		{"GET", "/v1/ports/sw0%2Fp1/x", "", 404, "not-found"},

		{"POST", "/v1/ports", "", 400, "no JSON object"},
		{"POST", "/v1/ports", "null", 400, "no JSON object"},
		{"POST", "/v1/ports", "[]", 400, "no JSON object"},
		{"POST", "/v1/ports", `{"name":"x"`, 400, "ends too early"},
		{"POST", "/v1/ports", `{"name":"x",}`, 400, "no JSON after"},
		{"POST", "/v1/ports", `{"name":"x","kind":"tap"} {}`, 400, "goes on"},
		{"POST", "/v1/ports", `{"name":"x","kind":"tap","vlam":{}}`, 400, "vlam"},
		{"POST", "/v1/ports", `{"name":"x","kind":"tap","vlan":{"acces":1}}`, 400, "acces"},
		{"POST", "/v1/ports", `{"name":1,"kind":"tap"}`, 400, `\"name\" cannot be a JSON number`},
		{"POST", "/v1/ports", `{"name":"x","kind":"tap","mtu":1.5}`, 400, `\"mtu\"`},
		{"POST", "/v1/ports", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "too-large"},
		{"POST", "/v1/ports", strings.Repeat(`{"vlan":`, 100_000), 400, "invalid"},

		{"GET", "/v1/fdb", "", 200, `{"sw0":[]}`},
		{"GET", "/v1/fdb?vlan=0", "", 400, "not a VLAN"},
		{"GET", "/v1/fdb?mac=zz", "", 400, "not a MAC"},
		{"GET", "/v1/fdb?type=odd", "", 400, "no type of entry"},
		{"GET", "/v1/fdb?port=p1", "", 400, "without its switch"},
		{"GET", "/v1/fdb?switch=sw0&port=nope", "", 404, "not-found"},
		{"POST", "/v1/fdb", `{"vlan":10,"mac":"02:00:00:00:00:01"}`, 400, "where 02:00:00:00:00:01 lives"},
		{"POST", "/v1/fdb", `{"vlan":10,"mac":"02:00:00:00:00:01","port":"p1","drop":true}`, 400, "contradict"},
		{"POST", "/v1/fdb", `{"vlan":10,"mac":"03:00:00:00:00:01","port":"p1"}`, 400, "multicast"},
		{"POST", "/v1/fdb", `{"vlan":4095,"mac":"02:00:00:00:00:01","port":"p1"}`, 400, "4095"},
		{"POST", "/v1/fdb", `{"vlan":10,"mac":"02:00:00:00:00:01","port":"nope"}`, 404, "not-found"},
		{"DELETE", "/v1/fdb/sw0/10/02:00:00:00:00:01", "", 404, "not-found"},
		{"DELETE", "/v1/fdb/sw0/x/02:00:00:00:00:01", "", 400, "not a VLAN"},
		{"POST", "/v1/fdb/flush", `{}`, 200, `{"flushed":0}`},
		{"POST", "/v1/fdb/flush", `{"port":"nope"}`, 404, "not-found"},
		{"POST", "/v1/fdb/flush", `{"vlan":-1}`, 400, "not a VLAN"},
		{"GET", "/v1/fdb/stats", "", 200, `{"sw0":{"size":16384,`},
	} {
		resp, text := ask(t, d, c.method, c.path, c.body)
		shown := c.body
		if len(shown) > 100 {
			shown = shown[:100] + "..."
		}
		if resp.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %s:\ngot  %d %s\nwant %d %s", c.method, c.path, shown, resp.StatusCode, text, c.status, c.want)
		}
		if resp.StatusCode == http.StatusMethodNotAllowed && resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
		if resp.StatusCode >= 400 && c.method != "HEAD" {
			var e api.ErrorBody
			if err := json.Unmarshal([]byte(text), &e); err != nil || e.Error == nil || e.Error.Code == "" || e.Error.Message == "" {
				t.Errorf("%s %s %s: %q is no error body", c.method, c.path, shown, text)
			}
		}
	}
}

func TestFieldsThatDoNotFitTheKindAreRefused(t *testing.T) {
	d := start(t, nil)
	for _, c := range []struct{ fields, want string }{
		{`"kind":""`, "not a kind"},
		{`"kind":"bridge"`, "not a kind"},
		{`"kind":"veth","device":"x"`, "device does not fit"},
		{`"kind":"veth","owner":"x"`, "owner does not fit"},
		{`"kind":"dev"`, "needs the name of its device"},
		{`"kind":"vm"`, "needs the name of its device"},
		{`"kind":"dev","device":"x","ips":["10.0.0.1/24"]`, "ips does not fit"},
		{`"kind":"dev","device":"x","netns":"y"`, "netns does not fit"},
		{`"kind":"patch"`, "not SWITCH/PORT"},
		{`"kind":"patch","peer":"a/b/c"`, "cannot name a port"},
		{`"kind":"patch","peer":"sw0/x"`, "itself"},
		{`"kind":"tap","peer":"sw1/x"`, "peer does not fit"},
		{`"kind":"veth","netns":"a","container":"b"`, "two places"},
		{`"kind":"veth","netns":"a/b"`, "names no namespace"},
		{`"kind":"veth","netns":".."`, "names no namespace"},
		{`"kind":"veth","netns":"pid:0"`, "names no process"},
		{`"kind":"veth","netns":"pid:x"`, "names no process"},
		{`"kind":"veth","netns":"a\u0000b"`, "U+0000"},
		{`"kind":"veth","ifname":"abcdefghijklmnop"`, "no name of an interface"},
		{`"kind":"veth","ifname":"a b"`, "no name of an interface"},
		{`"kind":"dev","device":"../x"`, "no name of an interface"},
		{`"kind":"veth","mac":"01:00:5e:00:00:01"`, "multicast"},
		{`"kind":"veth","mac":"00:00:00:00:00:00"`, "not the address of a station"},
		{`"kind":"veth","ips":["10.0.0.1"]`, "has no prefix length: write it behind a slash, such as 10.0.0.1/24"},
		{`"kind":"veth","ips":["fd00::1"]`, "fd00::1/64"},
		{`"kind":"veth","ips":["10.0.0.1/33"]`, "is no address"},
		{`"kind":"veth","ips":["224.0.0.1/24"]`, "no address for a station"},
		{`"kind":"veth","ips":["10.0.0.1/24","10.0.0.1/8"]`, "named twice"},
		{`"kind":"veth","gateways":["10.0.0.1/24"]`, "is no address"},
		{`"kind":"veth","gateways":["10.0.0.1","10.0.0.2"]`, "second of its family"},
		{`"kind":"veth","mtu":-1`, "mtu -1 is not possible"},
		{`"kind":"veth","mtu":65536`, "mtu 65536 is not possible"},
		{`"kind":"vm","device":"x","queues":257`, "queues 257 is not possible"},
		{`"kind":"tap","description":"a\u001b[2J"`, "cannot be shown"},
		{`"kind":"tap","options":{"max_macs":-1}`, "limit of -1"},
		{`"kind":"tap","options":{"pass_reserved":"x"}`, "reserved addresses"},
	} {
		body := `{"name":"x",` + c.fields + `}`
		resp, text := ask(t, d, "POST", "/v1/ports", body)
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(text, c.want) {
			t.Errorf("POST /v1/ports %s:\ngot  %d %s\nwant 400 %s", body, resp.StatusCode, text, c.want)
		}
	}
	if ports, err := d.Engine.Ports(""); err != nil || len(ports) != 0 {
		t.Errorf("after refusals only there are the ports %v, %v", ports, err)
	}
}

// Each step changes the port that the step before left.
func TestPolicyChangesStepByStep(t *testing.T) {
	d := start(t, nil)
	furnish(t, d)
	for _, c := range []struct {
		change string
		status int
		want   string // the policy after it; part of the message when refused
	}{
		{`{"trunk":"all"}`, 200, "trunk all VLANs"},
		{`{"native":5}`, 200, "trunk all VLANs, native 5 untagged"},
		{`{"native_tagged":true}`, 200, "trunk all VLANs, native 5 tagged"},
		{`{"native":6}`, 200, "trunk all VLANs, native 6 tagged"},
		{`{"native_tagged":false}`, 200, "trunk all VLANs, native 6 untagged"},
		{`{"tpid":"0x88a8"}`, 200, "trunk all VLANs, native 6 untagged, TPID 0x88a8"},
		{`{"native":0}`, 200, "trunk all VLANs, TPID 0x88a8"},
		{`{"native_tagged":true}`, 400, "no native VLAN"},
		{`{"priority_tags":"always"}`, 200, "trunk all VLANs, TPID 0x88a8, priority tags always"},
		{`{"trunk":["10"]}`, 200, "trunk VLANs 10"}, // the whole policy is replaced
		{`{"trunk":["10","10"]}`, 400, "twice"},
		{`{"trunk":["30-20"]}`, 400, "reversed"},
		{`{"trunk":["0"]}`, 400, "not a VLAN"},
		{`{"trunk":["4095"]}`, 400, "not a VLAN"},
		{`{"trunk":[]}`, 400, "empty"},
		{`{"trunk":null}`, 200, "trunk VLANs 10"},
		{`{"trunk":["all"]}`, 400, "VLANs are"},
		{`{"trunk":"10"}`, 400, "VLANs are"},
		{`{"cvlans":["1"]}`, 400, "does not fit trunk VLANs 10"},
		{`{"access":5,"tunnel":6}`, 400, "two modes"},
		{`{"access":0}`, 400, "0 is not a VLAN"},
		{`{"access":4095}`, 400, "4095 is not a VLAN"},
		{`{"access":65537}`, 400, "65537 is not a VLAN"},
		{`{"access":5}`, 200, "access VLAN 5"},
		{`{"native":5}`, 400, "a native VLAN does not fit access VLAN 5"},
		{`{"native":0}`, 400, "does not fit"},
		{`{"mode":"trunk"}`, 400, "stands alone"},
		{`{"mode":"access"}`, 200, "access VLAN 5"},
		{`{"mode":"trunk","access":6}`, 400, "contradicts"},
		{`{"tunnel":9,"tpid":"0x88a8"}`, 400, "a TPID does not fit tunnel VLAN 9"},
		{`{"tunnel":9,"cvlans":["0","5-6"]}`, 200, "tunnel VLAN 9, C-VLANs 0,5-6"},
		{`{"cvlans":"all"}`, 200, "tunnel VLAN 9"},
		{`{"mode":"native-tagged","trunk":["1"],"native":2}`, 200, "trunk VLANs 1, native 2 tagged"},
		{`{"tpid":"0x9100"}`, 400, "0x8100 or 0x88a8"},
		{`{"priority_tags":"often"}`, 400, "never, if-nonzero, always"},
		{`{}`, 200, "trunk VLANs 1, native 2 tagged"},
	} {
		before, err := d.Engine.Port("sw0", "t1")
		if err != nil {
			t.Fatal(err)
		}
		resp, text := ask(t, d, "PATCH", "/v1/ports/sw0/t1", `{"vlan":`+c.change+`}`)
		after, err := d.Engine.Port("sw0", "t1")
		if err != nil {
			t.Fatal(err)
		}
		got := after.VLAN.String()
		if c.status != 200 {
			got = text
			if !before.VLAN.Equal(&after.VLAN) {
				t.Errorf("%s was refused, but made %s of %s", c.change, &after.VLAN, &before.VLAN)
			}
		}
		if resp.StatusCode != c.status || c.status == 200 && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%s on %s:\ngot  %d %s\nwant %d %s", c.change, &before.VLAN, resp.StatusCode, got, c.status, c.want)
		}
	}
}

// What a port shows of its VLANs can be asked for again.
// TestStormLimitsAreReplacedTogether holds that a change names all limits that the port
// has afterwards, as docs/cli.md says: one that is left out is taken away.
func TestStormLimitsAreReplacedTogether(t *testing.T) {
	d := start(t, nil)
	addTap(t, d, "t1", `{"mode":"access","access":1}`)
	for _, c := range []struct{ asked, want string }{
		{"bcast=5pps", "bcast=5pps"},
		{"mcast=7pps", "mcast=7pps"},
		{"bcast=5pps,mcast=7pps", "bcast=5pps,mcast=7pps"},
		{"none", ""},
	} {
		_, text := ask(t, d, "PATCH", "/v1/ports/sw0/t1", `{"options":{"storm_limit":"`+c.asked+`"}}`)
		var p api.Port
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v: %s", c.asked, err, text)
		}
		if p.Options.StormLimit != c.want {
			t.Errorf("asked for %q, the port has the limit %q, want %q", c.asked, p.Options.StormLimit, c.want)
		}
	}
}

func TestShownPolicyCanBeAskedFor(t *testing.T) {
	d := start(t, nil)
	c := client.New(client.Config{Socket: d.Socket})
	defer c.Close()
	for i, spec := range []string{
		`{}`, `{"access":7,"priority_tags":"if-nonzero"}`, `{"trunk":"all","tpid":"0x88a8"}`,
		`{"trunk":["1","3-9"],"native":4}`, `{"trunk":"all","native":4,"native_tagged":true}`,
		`{"tunnel":3}`, `{"tunnel":3,"cvlans":["0"]}`,
	} {
		name := fmt.Sprintf("p%d", i)
		first := addTap(t, d, name, spec)
		shown, err := json.Marshal(first.VLAN)
		if err != nil {
			t.Fatal(err)
		}
		again := addTap(t, d, name+"b", string(shown))
		if diff := cmp.Diff(first.VLAN, again.VLAN); diff != "" {
			t.Errorf("%s shows %s, which makes another policy (-first +again):\n%s", spec, shown, diff)
		}
	}
}

func addTap(t *testing.T, d *controltest.Daemon, name, vlan string) (p api.Port) {
	t.Helper()
	resp, text := ask(t, d, "POST", "/v1/ports", `{"name":"`+name+`","kind":"tap","vlan":`+vlan+`}`)
	if err := json.Unmarshal([]byte(text), &p); resp.StatusCode != http.StatusCreated || err != nil {
		t.Fatalf("vlan %s: %s %s", vlan, resp.Status, text)
	}
	return p
}

func TestMayExistNamesTheDifference(t *testing.T) {
	d := start(t, nil)
	const first = `"name":"p1","kind":"veth","netns":"web","ips":["10.0.0.1/24","fd00::1/64"],"vlan":{"access":10}`
	for _, c := range []struct {
		body   string
		status int
		want   string
	}{
		{`{` + first + `,"may_exist":true}`, 201, `"name":"p1"`},
		{`{` + first + `,"may_exist":true}`, 200, `"name":"p1"`},
		{`{` + first + `}`, 409, "stands already"},
		{`{` + first + `,"may_exist":true,"ifname":"eth0","mtu":1500}`, 200, `"name":"p1"`},
		{`{` + first + `,"may_exist":true,"ifname":"eth1"}`, 409, "ifname: have eth0, asked eth1"},
		{`{` + first + `,"may_exist":true,"down":true,"options":{"isolated":true}}`, 409, "isolated: have false, asked true; down: have false, asked true"},
		{`{"name":"p1","kind":"veth","netns":"web","may_exist":true}`, 409, "ip: have 10.0.0.1/24 fd00::1/64, asked none; vlan: have access VLAN 10, asked access VLAN 1"},
		{`{"name":"p1","kind":"tap","may_exist":true}`, 409, "kind: have veth, asked tap"},
		{`{"name":"p9","kind":"veth","netns":"absent","may_exist":true}`, 404, "not-found"},
	} {
		resp, text := ask(t, d, "POST", "/v1/ports", c.body)
		if resp.StatusCode != c.status || !strings.Contains(text, c.want) {
			t.Errorf("POST %s:\ngot  %d %s\nwant %d %s", c.body, resp.StatusCode, text, c.status, c.want)
		}
	}
}

func TestPatchIsMadeAndRemovedOnBothSwitches(t *testing.T) {
	d := start(t, nil)
	ask(t, d, "POST", "/v1/switches", `{"name":"sw1"}`)
	if resp, text := ask(t, d, "POST", "/v1/ports", `{"name":"a","kind":"patch","peer":"sw1/b","may_exist":true}`); resp.StatusCode != 201 {
		t.Fatal(resp.Status, text)
	}
	if _, text := ask(t, d, "GET", "/v1/ports/sw1/b", ""); !strings.Contains(text, `"peer":"sw0/a"`) {
		t.Errorf("the far end is %s", text)
	}
	if resp, text := ask(t, d, "POST", "/v1/ports", `{"name":"a","kind":"patch","peer":"sw1/b","may_exist":true}`); resp.StatusCode != 200 {
		t.Error("again:", resp.Status, text)
	}
	if resp, text := ask(t, d, "POST", "/v1/ports", `{"name":"c","kind":"patch","peer":"sw1/b","may_exist":true}`); resp.StatusCode != 409 {
		t.Error("from a third port:", resp.Status, text)
	}
	ask(t, d, "DELETE", "/v1/ports/sw1/b", "")
	if _, text := ask(t, d, "GET", "/v1/ports", ""); text != "[]\n" {
		t.Errorf("one end was deleted, and left %s", text)
	}
}

func TestVLANsAreRunsOfTheSameMembers(t *testing.T) {
	d := start(t, nil)
	furnish(t, d)
	_, text := ask(t, d, "GET", "/v1/vlans", "")
	want := `{"sw0":[` +
		`{"vlan":5,"to":5,"ports":[{"port":"t1","tagging":"untagged"}]},` +
		`{"vlan":7,"to":7,"ports":[{"port":"q1","tagging":"tunnel"}]},` +
		`{"vlan":10,"to":10,"ports":[{"port":"p1","tagging":"untagged"},{"port":"t1","tagging":"tagged"}]},` +
		`{"vlan":20,"to":30,"ports":[{"port":"t1","tagging":"tagged"}]}]}` + "\n"
	if text != want {
		t.Errorf("got  %swant %s", text, want)
	}
	ask(t, d, "POST", "/v1/ports", `{"name":"all","kind":"tap","vlan":{"trunk":"all"}}`)
	var all map[string][]api.VLANMembers
	_, text = ask(t, d, "GET", "/v1/vlans?switch=sw0", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	next := 1
	for _, run := range all["sw0"] {
		if run.VLAN != next || run.To < run.VLAN {
			t.Errorf("a run from %d to %d follows one that ends at %d", run.VLAN, run.To, next-1)
		}
		next = run.To + 1
	}
	if next != 4095 || len(all["sw0"]) != 9 {
		t.Errorf("%d runs end at %d, want 9 that end at 4094", len(all["sw0"]), next-1)
	}
}

func TestStationsAreShownByPortAndType(t *testing.T) {
	d := start(t, nil)
	furnish(t, d)
	for _, s := range []struct {
		port string
		mac  frame.MAC
		vid  vlan.ID
	}{
		{"sw0/p1", frame.MAC{2, 0, 0, 0, 0, 1}, 0},
		{"sw0/t1", frame.MAC{2, 0, 0, 0, 0, 2}, 20},
	} {
		if err := d.Learn(s.port, s.mac, s.vid); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, d, "POST", "/v1/fdb", `{"vlan":10,"mac":"02:00:00:00:00:03","port":"t1"}`)
	ask(t, d, "POST", "/v1/fdb", `{"vlan":10,"mac":"02-00-00-00-00-04","drop":true}`)
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{"10 02:00:00:00:00:01 p1 dynamic", "10 02:00:00:00:00:03 t1 static", "10 02:00:00:00:00:04  filter", "20 02:00:00:00:00:02 t1 dynamic"}},
		{"?vlan=20", []string{"20 02:00:00:00:00:02 t1 dynamic"}},
		{"?type=filter", []string{"10 02:00:00:00:00:04  filter"}},
		{"?switch=sw0&port=t1", []string{"10 02:00:00:00:00:03 t1 static", "20 02:00:00:00:00:02 t1 dynamic"}},
		{"?mac=02:00:00:00:00:01&vlan=10", []string{"10 02:00:00:00:00:01 p1 dynamic"}},
		{"?mac=02:00:00:00:00:99", nil},
	} {
		_, text := ask(t, d, "GET", "/v1/fdb"+c.query, "")
		var all map[string][]api.FDBEntry
		if err := json.Unmarshal([]byte(text), &all); err != nil || all["sw0"] == nil {
			t.Fatalf("%s: %s %v", c.query, text, err)
		}
		var got []string
		for _, e := range all["sw0"] {
			got = append(got, fmt.Sprintf("%d %s %s %s", e.VLAN, e.MAC, e.Port, e.Type))
			if (e.AgeSeconds != nil) != (e.Type == api.Dynamic) {
				t.Errorf("%s: entry %+v: only a dynamic one has an age", c.query, e)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.query, diff)
		}
	}
	_, text := ask(t, d, "GET", "/v1/show", "")
	var o api.Overview
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	for _, p := range o.Switches[0].Ports {
		want := map[string]int{"p1": 1, "t1": 1, "q1": 0}[p.Name]
		if p.Stations != want {
			t.Errorf("%s shows %d stations, want %d", p.Name, p.Stations, want)
		}
	}
	if _, text := ask(t, d, "POST", "/v1/fdb/flush", `{"port":"p1"}`); text != `{"flushed":1}`+"\n" {
		t.Errorf("flush answers %s", text)
	}
}

func TestChangesAreLoggedWithWhoAsked(t *testing.T) {
	var log bytes.Buffer
	d, err := controltest.Start(filepath.Join(t.TempDir(), "s"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ask(t, d, "POST", "/v1/switches", `{"name":"sw1"}`)
	ask(t, d, "POST", "/v1/switches", `{"name":"sw1"}`)
	ask(t, d, "GET", "/v1/switches", "")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "path=/v1/switches") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 2 || !strings.Contains(lines[0], "about=sw1") || !strings.Contains(lines[0], "uid=") || !strings.Contains(lines[0], "pid=") || !strings.Contains(lines[1], "refused") {
		t.Errorf("log:\n%s", log.String())
	}
}
