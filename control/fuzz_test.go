package control_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/control/controltest"

	vswitch "github.com/vswitch/vswitch/switch"
)

// FuzzRequest sends any bytes as the body of every route that takes one, to a
// real engine. It must not panic, must answer in JSON, and a request that is
// refused must have changed nothing.
func FuzzRequest(f *testing.F) {
	routes := []struct{ method, path string }{
		{"POST", "/v1/switches"},
		{"PATCH", "/v1/switches/sw0"},
		{"POST", "/v1/ports"},
		{"PATCH", "/v1/ports/sw0/p1"},
		{"POST", "/v1/fdb"},
		{"POST", "/v1/fdb/flush"},
	}
	for _, seed := range []string{
		``, `null`, `{}`, `[]`, `{"name":"x"}`, vethP1, trunk, tunnel,
		`{"name":"sw1","ageing_seconds":0.5,"fdb_size":7,"bpdu":"drop","pass_reserved":"lldp,2","may_exist":true}`,
		`{"name":"x","kind":"veth","container":"c","ifname":"eth1","mac":"02:00:00:00:00:01","ips":["10.0.0.1/24"],"gateways":["10.0.0.2","fd00::1"],"mtu":9000}`,
		`{"name":"x","kind":"vm","device":"tap0","owner":"0","queues":4,"down":true,"description":"é"}`,
		`{"name":"x","kind":"patch","peer":"sw0/y","may_exist":true}`,
		`{"vlan":{"mode":"native-tagged","trunk":["1","4094"],"native":4094,"tpid":"0x88a8","priority_tags":"always"}}`,
		`{"vlan":{"trunk":"all","native_tagged":true},"options":{"max_macs":3,"pass_reserved":"switch","isolated":true}}`,
		`{"vlan":10,"mac":"02:00:00:00:00:01","port":"p1"}`, `{"switch":"sw0","vlan":10,"mac":"02:00:00:00:00:01","drop":true}`,
		`{"port":"p1","vlan":10}`, `{"NAME":"x","name":"y","name":"z"}`, strings.Repeat(`{"vlan":`, 50), "{\"name\":\"\xff\"}",
	} {
		for route := range routes {
			f.Add(uint8(route), []byte(seed))
		}
	}
	d := start(f, nil)
	refurnish(f, d)
	handler := control.New(d.Engine, control.Config{}).Handler(context.Background())
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		r := routes[int(route)%len(routes)]
		before := configuration(t, d)
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, httptest.NewRequest(r.method, r.path, strings.NewReader(string(body))))
		after := configuration(t, d)
		if rec.Code == http.StatusInternalServerError || rec.Body.Len() == 0 {
			t.Errorf("%s %s %q is answered with %d %s", r.method, r.path, body, rec.Code, rec.Body)
		}
		if rec.Code >= 400 && before != after {
			t.Errorf("%s %s %q was refused with %d %s, but changed\n%s\nto\n%s", r.method, r.path, body, rec.Code, rec.Body, before, after)
		}
		if before != after {
			refurnish(t, d)
		}
	})
}

// FuzzPath sends any path and question to every method that changes nothing,
// and to DELETE.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"/", "/v1", "/v1/ports", "/v1/ports/sw0/p1", "/v1/ports/sw0/..", "/v1/ports//", "/v1/fdb?vlan=10&type=static",
		"/v1/fdb/sw0/10/02:00:00:00:00:01", "/v1/fdb/sw0/99999999999/x", "/v1/show?", "/v1/vlans?switch=%73w0", "/v1/%00",
	} {
		f.Add(seed)
	}
	d := start(f, nil)
	refurnish(f, d)
	streams, cancel := context.WithCancel(context.Background())
	cancel() // they end as they begin
	handler := control.New(d.Engine, control.Config{}).Handler(streams)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return // net/http refuses it before any handler
		}
		for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS", "DELETE"} {
			before := configuration(t, d)
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, &http.Request{Method: method, URL: u, RequestURI: path, Header: http.Header{}, Body: http.NoBody})
			if after := configuration(t, d); before != after {
				if method != "DELETE" || rec.Code != http.StatusNoContent {
					t.Errorf("%s %s was answered with %d %s, but changed\n%s\nto\n%s", method, path, rec.Code, rec.Body, before, after)
				}
				refurnish(t, d)
			}
		}
	})
}

// configuration returns all that a request can change.
func configuration(t testing.TB, d *controltest.Daemon) string {
	var b strings.Builder
	for _, sw := range d.Engine.Switches() {
		fmt.Fprintf(&b, "%+v\n", sw)
		entries, err := d.Engine.FDB(sw.Name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v\n", entries)
	}
	ports, err := d.Engine.Ports("")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ports {
		pass := "switch"
		if r := p.Options.PassReserved; r != nil {
			pass = r.String()
		}
		p.Options.PassReserved = nil
		fmt.Fprintf(&b, "%s/%s %+v %s %+v %s %t %q\n", p.Switch, p.Name, p.Attach, &p.VLAN, p.Options, pass, p.Down, p.Description)
	}
	return b.String()
}

// refurnish makes the daemon as it was at the beginning. Its FDB is small, so
// that it is quickly made and looked through.
func refurnish(t testing.TB, d *controltest.Daemon) {
	ctx := context.Background()
	for _, sw := range d.Engine.Switches() {
		if err := d.Engine.DeleteSwitch(ctx, sw.Name); err != nil {
			t.Fatal(err)
		}
	}
	settings := vswitch.DefaultSettings()
	settings.FDBSize = 64
	if err := d.Engine.AddSwitch(ctx, api.DefaultSwitch, settings); err != nil {
		t.Fatal(err)
	}
	furnish(t, d)
}
