package control_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/control/controltest"
	"github.com/vswitch/vswitch/store"
)

// startKept starts a daemon that keeps its configuration in dir.
func startKept(t testing.TB, dir string) *controltest.Daemon {
	t.Helper()
	s, err := store.Open(dir, func(what string) { t.Error(what) })
	if err != nil {
		t.Fatal(err)
	}
	d, err := controltest.StartKept(filepath.Join(t.TempDir(), "s"), s)
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

// restarted ends a daemon and starts the next one.
func restarted(t testing.TB, d *controltest.Daemon, dir string) *controltest.Daemon {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return startKept(t, dir)
}

// TestEachChangeIsKept makes one of each kind, and after each a restart has the
// same configuration.
func TestEachChangeIsKept(t *testing.T) {
	dir := t.TempDir()
	d := startKept(t, dir)
	if got := configOf(t, d); got != "version: 1\nswitches:\n  sw0: {}\n" {
		t.Fatalf("a new one has\n%s", got)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/ports", vethP1},
		{"POST", "/v1/ports", trunk},
		{"POST", "/v1/ports", tunnel},
		{"POST", "/v1/switches", `{"name":"lab","ageing_seconds":60,"pass_reserved":"lldp"}`},
		{"PATCH", "/v1/switches/lab", `{"bpdu":"drop","ageing_seconds":300}`},
		{"POST", "/v1/profiles", `{"name":"office","vlan":{"access":30},"options":{"isolated":true}}`},
		{"POST", "/v1/ports", `{"name":"up","kind":"patch","peer":"lab/up","vlan":{"trunk":"all"}}`},
		{"PATCH", "/v1/ports/lab/up", `{"vlan":{"access":7},"description":"the far end"}`},
		{"PATCH", "/v1/ports/sw0/p1", `{"profile":"office","down":true}`},
		{"PATCH", "/v1/profiles/office", `{"vlan":{"access":31}}`},
		{"PATCH", "/v1/ports/sw0/t1", `{"impair":{"egress":{"delay_seconds":0.02}},"options":{"sticky":true}}`},
		{"POST", "/v1/fdb", `{"vlan":5,"mac":"02:00:00:00:00:05","port":"t1"}`},
		{"POST", "/v1/fdb", `{"vlan":5,"mac":"02:00:00:00:00:06","drop":true}`},
		{"DELETE", "/v1/fdb/sw0/5/02:00:00:00:00:06", ""},
		{"DELETE", "/v1/ports/sw0/q1", ""},
		{"DELETE", "/v1/ports/sw0/t1", ""}, // and its entry
		{"PATCH", "/v1/ports/sw0/p1", `{"profile":"","down":false}`},
		{"DELETE", "/v1/profiles/office", ""},
		{"POST", "/v1/config", `{"text":"switches: {sw0: {ports: {a: {tap: true, ifname: a}}, fdb: [{vlan: 1, mac: 02:00:00:00:00:01, port: a}]}, lab: {ports: {up: {patch: sw0/up, access: 2}}}}"}`},
		{"POST", "/v1/fdb", `{"switch":"sw0","vlan":2,"mac":"02:00:00:00:00:07","port":"up"}`},
		{"DELETE", "/v1/ports/lab/up", ""}, // and its far end, with its entry
		{"POST", "/v1/ports", `{"name":"up","kind":"tap"}`},
		{"POST", "/v1/fdb", `{"switch":"lab","vlan":2,"mac":"02:00:00:00:00:08","drop":true}`},
		{"DELETE", "/v1/switches/lab", ""},
		{"DELETE", "/v1/switches/sw0", ""},
	} {
		resp, text := ask(t, d, c.method, c.path, c.body)
		if resp.StatusCode >= 300 {
			t.Fatalf("%s %s %s: %s %s", c.method, c.path, c.body, resp.Status, text)
		}
		want := configOf(t, d)
		d = restarted(t, d, dir)
		if got := configOf(t, d); got != want {
			t.Fatalf("after %s %s %s a restart has\n%s\nwant\n%s", c.method, c.path, c.body, got, want)
		}
	}
	if got := configOf(t, d); got != "version: 1\nswitches: {}\n" {
		t.Errorf("at the end there is\n%s", got)
	}
}

// TestRestoreOfWhatIsAbsent has a port stand that hangs on nothing, lost, and the
// others as they were.
func TestRestoreOfWhatIsAbsent(t *testing.T) {
	dir := t.TempDir()
	d := startKept(t, dir)
	for _, body := range []string{vethP1, `{"name":"p2","kind":"veth","netns":"later","vlan":{"access":10}}`} {
		if resp, text := ask(t, d, "POST", "/v1/ports", body); resp.StatusCode != http.StatusCreated {
			t.Fatal(text)
		}
	}
	want := configOf(t, d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	// What was there is gone meanwhile.
	files, err := filepath.Glob(filepath.Join(dir, "journal.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("journals: %v, %v", files, err)
	}
	s, err := store.Open(dir, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(store.Change{Path: []string{"switches", "sw0", "ports", "p2", "netns"}, Value: controltest.Absent}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	d = startKept(t, dir)
	if got := configOf(t, d); got != strings.Replace(want, "later", controltest.Absent, 1) {
		t.Errorf("restored is\n%s", got)
	}
	_, text := ask(t, d, "GET", "/v1/ports/sw0/p2", "")
	if !strings.Contains(text, `"state":"lost"`) || !strings.Contains(text, controltest.Absent) {
		t.Errorf("the port that hangs on nothing is %s", text)
	}
	if _, text := ask(t, d, "GET", "/v1/ports/sw0/p1", ""); !strings.Contains(text, `"state":"up"`) {
		t.Errorf("the other is %s", text)
	}
}

// TestLostPortsSayOnWhat has ports that were never attached say what they wait for.
func TestLostPortsSayOnWhat(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir, func(what string) { t.Error(what) })
	if err != nil {
		t.Fatal(err)
	}
	ports := make(map[string]any)
	cases := map[string]struct {
		port map[string]any
		want string
	}{
		"a": {map[string]any{"netns": controltest.Absent}, "veth to netns absent"},
		"b": {map[string]any{"netns": controltest.Absent, "ifname": "far0"}, "veth to netns absent (far0)"},
		"c": {map[string]any{"tap": true, "container": controltest.Absent}, "tap to container absent"},
		"d": {map[string]any{"dev": controltest.Absent}, "dev absent"},
		"e": {map[string]any{"vm": controltest.Absent}, "vm absent"},
	}
	for name, c := range cases {
		ports[name] = c.port
	}
	if err := s.Commit(store.Change{Value: map[string]any{"switches": map[string]any{"sw0": map[string]any{"ports": ports}}}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	d := startKept(t, dir)
	for name, c := range cases {
		_, text := ask(t, d, "GET", "/v1/ports/sw0/"+name, "")
		var p api.Port
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if p.State != api.StateLost || p.Where() != c.want {
			t.Errorf("%s is %s, %q; want %q", name, p.State, p.Where(), c.want)
		}
	}
}

// smallDisk returns a folder with a file system of its own, of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("no tmpfs can be mounted here: ", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestWhatCannotBeKeptIsRefused fills the disk: changes that have room yet are made
// and kept, and from then on nothing is done.
func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	dir := smallDisk(t, "256k")
	d := startKept(t, dir)
	if resp, text := ask(t, d, "POST", "/v1/ports", vethP1); resp.StatusCode != http.StatusCreated {
		t.Fatal(text)
	}
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	want, refused := configOf(t, d), ""
	for i := 0; refused == "" && i < 2000; i++ {
		resp, text := ask(t, d, "PATCH", "/v1/ports/sw0/p1", fmt.Sprintf(`{"description":"%0200d"}`, i))
		if resp.StatusCode == http.StatusOK {
			want = configOf(t, d)
		} else {
			refused = resp.Status + text
		}
	}
	if !strings.HasPrefix(refused, "409") || !strings.Contains(refused, "nothing was changed, as it could not be kept") {
		t.Fatalf("on a full disk: %q", refused)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/ports", tunnel},
		{"DELETE", "/v1/ports/sw0/p1", ""},
		{"POST", "/v1/config", `{"text":"switches: {}"}`},
	} {
		if resp, text := ask(t, d, c.method, c.path, c.body); resp.StatusCode != http.StatusConflict {
			t.Errorf("%s %s: %s %s", c.method, c.path, resp.Status, text)
		}
	}
	if got := configOf(t, d); got != want {
		t.Errorf("it has changed to\n%s", got)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	d = restarted(t, d, dir)
	if got := configOf(t, d); got != want {
		t.Errorf("after a restart there is\n%s\nwant\n%s", got, want)
	}
	if resp, text := ask(t, d, "DELETE", "/v1/ports/sw0/p1", ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("with room again: %s", text)
	}
}

// TestMuchGoesOnAFullDisk deletes a port with thousands of static entries, and a switch
// with hundreds of patches, on a disk that is full: it is done and kept, or refused.
func TestMuchGoesOnAFullDisk(t *testing.T) {
	var entries, near, far strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&entries, "      - {vlan: 1, mac: '02:00:00:00:%02x:%02x', port: p}\n", i>>8, i&255)
	}
	for i := range 1500 {
		fmt.Fprintf(&near, "      patch-%04d: {patch: far/the-far-end-of-it-%04d}\n", i, i)
		fmt.Fprintf(&far, "      the-far-end-of-it-%04d: {patch: near/patch-%04d}\n", i, i)
	}
	for path, doc := range map[string]string{
		"/v1/ports/sw0/p":   "switches:\n  sw0:\n    ports: {p: {tap: true}}\n    fdb:\n" + entries.String(),
		"/v1/switches/near": "switches:\n  near:\n    ports:\n" + near.String() + "  far:\n    ports:\n" + far.String(),
	} {
		for _, spare := range []int{0, 84 << 10} { // none, and for a usual change
			dir := smallDisk(t, "2m")
			d := startKept(t, dir)
			if _, refusal := apply(t, d, doc, false); refusal != "" {
				t.Fatal(refusal)
			}
			d = restarted(t, d, dir) // what was reserved is given back
			fillUp(t, filepath.Join(dir, "filler"), spare)
			want := configOf(t, d)
			resp, text := ask(t, d, "DELETE", path, "")
			switch {
			case resp.StatusCode == http.StatusNoContent:
				want = configOf(t, d)
			case !strings.Contains(text, "nothing was changed"):
				t.Errorf("DELETE %s with %d octets free: %s %.300s", path, spare, resp.Status, text)
			}
			d = restarted(t, d, dir)
			if got := configOf(t, d); got != want {
				t.Errorf("after DELETE %s with %d octets free, %s, a restart has another configuration", path, spare, resp.Status)
			}
		}
	}
}

// fillUp fills a disk with a file, but for some octets.
func fillUp(t *testing.T, filler string, spare int) {
	t.Helper()
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	info, err := os.Stat(filler)
	if err == nil {
		err = os.Truncate(filler, max(0, info.Size()-int64(spare)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestConfigurationThatGrowsWhenItIsKept applies a document that is short, with anchors,
// and too long for the disk as it would be kept: nothing is changed.
func TestConfigurationThatGrowsWhenItIsKept(t *testing.T) {
	dir := smallDisk(t, "256k")
	d := startKept(t, dir)
	was := configOf(t, d)
	var doc strings.Builder
	doc.WriteString("switches:\n  sw0:\n    ports:\n      p: &p {tap: true, description: \"" + strings.Repeat("long ", 50) + "\"}\n")
	for i := range 1000 {
		fmt.Fprintf(&doc, "      p%d: *p\n", i)
	}
	if n := doc.Len(); 4*n > 128<<10 {
		t.Fatalf("the document has %d octets", n)
	}
	if dry, refusal := apply(t, d, doc.String(), true); refusal != "" || len(dry.Changes) != 1001 {
		t.Errorf("a dry run, which keeps nothing: %d changes, %s", len(dry.Changes), refusal)
	}
	_, refusal := apply(t, d, doc.String(), false)
	if !strings.HasPrefix(refusal, "nothing was changed, as it could not be kept: ") {
		t.Errorf("on a disk that is too small: %q", refusal)
	}
	if got := configOf(t, d); got != was {
		t.Errorf("it has left %d octets of configuration", len(got))
	}
	if _, refusal := apply(t, d, "switches: {sw0: {ports: {a: {tap: true}}}}", false); refusal != "" {
		t.Errorf("a small one: %s", refusal)
	}
}

// TestDamageOnAReadOnlyDisk has the daemon start with what can be read, and nothing
// changed until what is damaged can be kept aside. What stood from the start on is
// kept then, too.
func TestDamageOnAReadOnlyDisk(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		dir := smallDisk(t, "256k")
		if damaged {
			if err := os.WriteFile(filepath.Join(dir, "journal.0"), []byte("0 []\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=256k"); err != nil {
			t.Fatal(err)
		}
		var told []string
		s, err := store.Open(dir, func(what string) { told = append(told, what) })
		if err != nil {
			t.Fatal(err)
		}
		d, err := controltest.StartKept(filepath.Join(t.TempDir(), "s"), s)
		if err != nil {
			t.Fatal(err)
		}
		const profile = `{"name":"office","vlan":{"access":30}}`
		want := configOf(t, d)
		resp, text := ask(t, d, "POST", "/v1/profiles", profile)
		if resp.StatusCode != http.StatusConflict || !strings.Contains(text, "nothing was changed, as it could not be kept: ") || !strings.Contains(text, "read-only file system") {
			t.Errorf("on a read-only disk: %s %s", resp.Status, text)
		}
		if got := configOf(t, d); got != want {
			t.Errorf("it has changed to\n%s", got)
		}
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=256k"); err != nil {
			t.Fatal(err)
		}
		if resp, text := ask(t, d, "POST", "/v1/profiles", profile); resp.StatusCode != http.StatusCreated {
			t.Errorf("on a disk that can be written again: %s", text)
		}
		want = configOf(t, d)
		d = restarted(t, d, dir)
		if got := configOf(t, d); got != want || !strings.Contains(got, "office") {
			t.Errorf("after a restart there is\n%s\nwant\n%s", got, want)
		}
		if aside, _ := filepath.Glob(filepath.Join(dir, "journal.0.aside-*")); damaged != (len(aside) == 1) || damaged != (len(told) == 2) {
			t.Errorf("kept aside are %v, told %q", aside, told)
		}
	}
}

// TestManyPortsStayLinear holds that what a change writes does not grow with what
// stands.
func TestManyPortsStayLinear(t *testing.T) {
	dir := t.TempDir()
	d := startKept(t, dir)
	written := func() (n int64) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	const ports = 1100
	for i := range ports {
		if resp, text := ask(t, d, "POST", "/v1/ports", fmt.Sprintf(`{"name":"p%d","kind":"tap"}`, i)); resp.StatusCode != http.StatusCreated {
			t.Fatal(text)
		}
	}
	if n := written(); n > ports*1000 {
		t.Errorf("%d ports have left %d octets", ports, n)
	}
	want := configOf(t, d)
	d = restarted(t, d, dir)
	if got := configOf(t, d); got != want {
		t.Error("1,100 ports are others after a restart")
	}
}
