package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhoMayDoWhat has users of different groups look, and try to change something.
func TestWhoMayDoWhat(t *testing.T) {
	h := NewHost(t, NoDaemon)
	const reading, admin = "61001", "61002"
	for _, dir := range []string{h.dir, filepath.Dir(h.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := h.Path("vsctl")
	h.Run("cp", vsctlPath(t), program)
	h.Start("--socket-group", reading, "--admin-group", admin)
	as := func(gid string, groups []string, args ...string) Result {
		who := []string{"setpriv", "--reuid", "61234", "--regid", gid, "--clear-groups"}
		if len(groups) > 0 {
			who = append(who[:len(who)-1], "--groups", strings.Join(groups, ","))
		}
		return h.Try(append(append(who, program, "--socket", h.Socket), args...)...)
	}
	add := []string{"port", "add", "p", "--tap"}
	none := h.Path("none.yaml")
	if err := os.WriteFile(none, []byte("version: 1\nswitches: {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		gid    string
		groups []string
		args   []string
		code   int
		says   string
	}{
		{reading, nil, []string{"show"}, 0, ""},
		{reading, nil, []string{"config", "show"}, 0, ""},
		{reading, nil, []string{"config", "diff", none}, 1, ""}, // it differs
		{reading, nil, []string{"config", "apply", "--dry-run", none}, 0, ""},
		{reading, nil, []string{"config", "apply", none}, 1, "join the group " + admin},
		{reading, nil, add, 1, "join the group " + admin},
		{reading, nil, []string{"shutdown"}, 1, "join the group " + admin},
		{reading, nil, []string{"switch", "del", "sw0"}, 1, "join the group " + admin},
		{reading, []string{"5", admin, "6"}, add, 0, ""},
		{admin, []string{reading}, []string{"port", "del", "p"}, 0, ""},
		{admin, nil, []string{"show"}, 3, "may not open"},
		{"61003", nil, []string{"show"}, 3, "may not open"},
	} {
		if r := as(c.gid, c.groups, c.args...); r.Code != c.code || !strings.Contains(r.Stderr, c.says) {
			t.Errorf("group %s, groups %v, %v: exit %d, %q; want %d, %q", c.gid, c.groups, c.args, r.Code, r.Stderr, c.code, c.says)
		}
	}
	if log := h.Log(); !strings.Contains(log, "msg=forbidden method=POST path=/v1/ports uid=61234") || !strings.Contains(log, "msg=changed method=POST path=/v1/ports") {
		t.Errorf("the log does not say who was forbidden what:\n%s", log)
	}
	// Nobody but root takes the daemon's place.
	p := h.Go("setpriv", "--reuid", "61234", "--regid", reading, "--groups", admin, vswitchdCopy(h), "--socket", h.Socket, "--state-dir", h.Path("other"), "--takeover")
	if r := p.Wait(t, Patience); r.Code == 0 || !strings.Contains(r.Output(), "only root") {
		t.Errorf("another user's takeover: exit %d, %s", r.Code, r.Output())
	}
	if log := h.Log(); !strings.Contains(log, "msg=forbidden method=POST path=/v1/takeover uid=61234") {
		t.Errorf("the log does not say who was forbidden to take over:\n%s", log)
	}
	h.VS("show")

	// Root's eyes are not for who may only look.
	absent := h.Path("absent.yaml")
	if err := os.WriteFile(absent, []byte("switches: {sw0: {ports: {p: {netns: /root/nothing}}}}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for gid, told := range map[string]bool{"5": false, admin: true} {
		if r := as(reading, []string{gid}, "config", "diff", absent); r.Code != 1 || strings.Contains(r.Stderr, "there is no network namespace") != told {
			t.Errorf("groups %s and %s: exit %d, %q", reading, gid, r.Code, r.Output())
		}
	}

	// Nor is much of its memory.
	long := h.Path("long.yaml")
	if err := os.WriteFile(long, []byte("switches: {}\n"+strings.Repeat("# long\n", 300_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for gid, says := range map[string]string{"5": "over 1048576 bytes", admin: ""} {
		if r := as(reading, []string{gid}, "config", "diff", long); r.Code != 1 || !strings.Contains(r.Stderr, says) {
			t.Errorf("groups %s and %s: exit %d, %q, want %q", reading, gid, r.Code, r.Output(), says)
		}
	}

	// One group is for both.
	h.MustCleanShutdown()
	h.Start("--admin-group", admin)
	if r := as(admin, nil, add...); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	h.VS("port", "del", "p")
}

// mustBeConfined checks that the daemon has no more than it needs, and may not get it.
func (d *Daemon) mustBeConfined() {
	d.h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.Pid()))
	if err != nil {
		d.h.t.Fatal(err)
	}
	status := make(map[string]string)
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	var want uint64
	for _, c := range []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BROADCAST, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE} {
		want |= 1 << c
	}
	for _, set := range []string{"CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"} {
		got, err := strconv.ParseUint(status[set], 16, 64)
		if err != nil || got&^want != 0 {
			d.h.t.Errorf("%s is %s, with more than %016x", set, status[set], want)
		}
	}
	if status["NoNewPrivs"] != "1" {
		d.h.t.Errorf("NoNewPrivs is %s", status["NoNewPrivs"])
	}
}

// TestConfined holds that the daemon, and what it starts, has no more than it needs,
// whatever it finds in its environment.
func TestConfined(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.Env = []string{"VSWITCHD_CONFINED=1"} // once it had confinement be
	h.Start()
	for range 2 {
		h.mustBeConfined()
		h.TakeOver()
	}
}

// TestStrangersLock has a user who may look into the folders lock them before a start and
// wait for them during a takeover: neither is held up, and changes are kept.
func TestStrangersLock(t *testing.T) {
	h := NewHost(t, NoDaemon)
	if err := os.Mkdir(h.StateDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{h.StateDir, h.dir, filepath.Dir(h.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stranger := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "flock"}
	for _, dir := range []string{h.StateDir, h.dir} {
		h.Go(append(stranger, dir, "sh", "-c", "echo locked; exec sleep 600")...).Expect(t, "locked")
	}
	h.Start()
	h.VS("port", "add", "a", "--tap")
	h.TakeOver()
	h.VS("port", "set", "a", "--description", "kept")
	if r := h.Try(append(stranger, "--nonblock", filepath.Join(h.StateDir, "lock"), "true")...); r.Code == 0 || !strings.Contains(r.Output(), "Permission denied") {
		t.Errorf("a stranger locks what says whose the folder is: exit %d, %s", r.Code, r.Output())
	}
	h.Kill9()
	h.Start()
	if p := h.Port("a"); p.Description != "kept" {
		t.Errorf("the description is %q", p.Description)
	}
}

// TestDaemonOfItsOwnUser runs it as another user than root, with the capabilities that
// its unit would give it, and with more, of which it gives up the rest.
func TestDaemonOfItsOwnUser(t *testing.T) {
	h := NewHost(t, NoDaemon)
	for _, dir := range []string{h.dir, filepath.Dir(h.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	home := h.Path("own")
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, 61234, 61234); err != nil {
		t.Fatal(err)
	}
	h.Socket, h.StateDir = home+"/sock", home+"/state"
	user := func(caps string, more ...string) []string {
		return append([]string{"setpriv", "--reuid", "61234", "--regid", "61234", "--clear-groups", "--inh-caps", caps, "--ambient-caps", caps}, more...)
	}
	const caps = "+net_admin,+net_raw,+net_broadcast,+sys_admin,+sys_ptrace"
	h.Wrap = user(caps + ",+chown,+dac_override,+kill,+setuid,+setgid,+sys_chroot,+setpcap")
	h.Start()
	h.mustBeConfined()
	kinds := deviceKinds
	if info, err := os.Stat("/dev/net/tun"); err != nil || info.Mode().Perm()&0o006 != 0o006 {
		t.Log("/dev/net/tun is for root alone on this machine, where others have it for all: no TAPs here")
		kinds = []string{"veth", "dev"}
	}
	var stacks []*Stack
	for i, kind := range kinds {
		stacks = append(stacks, h.Stack(kind, kind, i+1))
	}
	for _, s := range stacks[1:] {
		stacks[0].Ping(s.Addr("tcp4"))
	}
	h.Kill9()
	h.Wrap = user(caps, "--no-new-privs")
	h.Start()
	for _, s := range stacks[1:] {
		stacks[0].Ping(s.Addr("tcp4"))
	}
}

// TestDaemonWithMountsOfItsOwn runs it as its unit does, where it sees the mounts of
// the machine, and nobody sees its own.
func TestDaemonWithMountsOfItsOwn(t *testing.T) {
	h := NewHost(t, NoDaemon)
	h.Run("mount", "--make-shared", "/run") // as systemd has all of them
	h.Wrap = []string{"unshare", "--mount", "--propagation", "slave"}
	h.Start()
	for range 2 {
		h.Run("ip", "netns", "add", "late")
		h.VS("port", "add", "late", "--netns", "late", "--may-exist")
		h.AwaitState("late", "up")
		h.Run("ip", "netns", "del", "late")
		h.AwaitState("late", "lost")
	}
}

// TestUnitIsConfined has systemd read the units, and judge the service, from 0, of what
// may do nothing, to 10.
func TestUnitIsConfined(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze on this machine, which judges units")
	}
	h := NewHost(t, NoDaemon)
	var files []string
	for _, name := range []string{"vswitchd.socket", "vswitchd.service"} {
		unit, err := os.ReadFile("../scripts/" + name)
		if err != nil {
			t.Fatal(err)
		}
		unit = bytes.ReplaceAll(unit, []byte("@sbindir@"), []byte(filepath.Dir(vswitchdPath(t, true))))
		if err := os.WriteFile(h.Path(name), unit, 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, h.Path(name))
	}
	if r := h.Try(append([]string{analyze, "verify", "--man=no"}, files...)...); r.Code != 0 || r.Output() != "" {
		t.Errorf("exit %d: %s", r.Code, r.Output())
	}
	const most = "40" // of its tenths
	if r := h.Try(analyze, "security", "--offline=true", "--no-pager", "--threshold="+most, h.Path("vswitchd.service")); r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, tail(r.Output(), 400))
	}
}

// vswitchdCopy returns a copy of the daemon's program that all may run.
func vswitchdCopy(h *Host) string {
	h.t.Helper()
	program := h.Path("vswitchd")
	h.Run("cp", vswitchdPath(h.t, h.has(Fast)), program)
	return program
}
