package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTourOfTheREADME types the tour of the README into one shell, on a host
// without anything, and holds what it prints against what the README says.
func TestTourOfTheREADME(t *testing.T) {
	t.Parallel()
	Need(t, "bash", "curl", "ping", "tcpdump", "qemu-system-x86_64")
	h := NewHost(t, NoDaemon)
	examples, err := filepath.Abs("../examples")
	if err != nil {
		t.Fatal(err)
	}
	sh := newShell(h)
	sh.run("ln -s " + examples + " examples") // as in the repository's folder
	sh.follow("../README.md", 30)
}

// TestTutorialOfLabs does the same with that of docs/lab.md.
func TestTutorialOfLabs(t *testing.T) {
	t.Parallel()
	Need(t, "bash", "ping", "qemu-system-x86_64", "busybox")
	h := NewHost(t, NoDaemon)
	newShell(h).follow("../docs/lab.md", 20)
	h.noLabs()
}

// follow types the commands of a text, and writes its files, and holds what they
// print against what the text says.
func (sh *shell) follow(file string, least int) {
	t := sh.t
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps := tour(string(text))
	if len(steps) < least {
		t.Fatalf("%s has %d commands in console blocks, want the whole tour", file, len(steps))
	}
	for _, s := range steps {
		if s.file != "" {
			kernel, _ := plainImage.build(t)
			sh.run(fmt.Sprintf("cat >%s <<'EOF'\n%sEOF", s.file, strings.Replace(s.output, "/boot/vmlinuz-*", kernel, 1)))
			continue
		}
		got := sh.run(s.command)
		// Behind the last semicolon a command looks at what comes about in
		// its own time, and less of that on a busy machine.
		if _, look, waits := cutLast(s.command, ";"); waits {
			for deadline := time.Now().Add(Patience); !s.matches(got) && time.Now().Before(deadline); {
				time.Sleep(100 * time.Millisecond)
				got = sh.run(look)
			}
		}
		if !s.matches(got) {
			t.Errorf("%s:%d: $ %s\nprints:\n%s\nwhere the text has:\n%s", file, s.line, s.command, indent(got), indent(s.output))
		}
	}
}

// step is a command of the tour, or a file that it has its reader write.
type step struct {
	line    int // in the text
	command string
	file    string
	output  string // of the command; what the file has
}

// announced finds the name of a file that a line says comes next.
var announced = regexp.MustCompile("`([a-z]+\\.yaml)`.*:$")

// tour finds the commands in a text's console blocks, and the files that it
// announces.
func tour(text string) (steps []step) {
	inside, file := "", ""
	for i, line := range strings.Split(text, "\n") {
		command, prompt := strings.CutPrefix(line, "$ ")
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence:
			inside = fence
			if fence == "yaml" && file != "" {
				inside, steps = "file", append(steps, step{line: i + 1, file: file})
			}
			file = ""
		case inside == "console" && prompt:
			steps = append(steps, step{line: i + 1, command: command})
		case inside == "console" && len(steps) > 0, inside == "file":
			steps[len(steps)-1].output += line + "\n"
		case inside == "" && line != "":
			file = ""
			if m := announced.FindStringSubmatch(line); m != nil {
				file = m[1]
			}
		}
	}
	return steps
}

// Each run has figures of its own.
var (
	volatile = []struct{ what, as string }{
		{`([0-9a-f]{2}:){5}[0-9a-f]{2}`, "MAC"},
		{`\d{4}-\d\d-\d\dT[\d:.]+Z`, "TIME"},
		{`time=\S+ ms`, "time=N ms"},
		{`time \d+ms`, "time Nms"},
		{`rtt .*`, "rtt"},
		{`"dynamic":\d+`, `"dynamic":N`}, // who spoke by then
		{`@if\d+`, "@ifN"},
		{`in \d+\.\d s`, "in N s"},
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "TIME"},
		{`/\S+/(\w+\.yaml)`, "$1"},
		{`fe80::[0-9a-f:]+`, "fe80::"},
		{` +`, " "},
	}
	counts = regexp.MustCompile(`\b\d+(\.\d+)?\b( stations?\b)?`) // who spoke by then: none, one, several
	tables = regexp.MustCompile(`^vsctl (show|drops|stats|fdb show|port show|lab ping)`)
)

func (s *step) matches(got string) bool { return s.plain(got) == s.plain(s.output) }

// plain takes from an output what differs from run to run.
func (s *step) plain(out string) string {
	for _, v := range volatile {
		out = regexp.MustCompile(v.what).ReplaceAllString(out, v.as)
	}
	if tables.MatchString(s.command) {
		out = counts.ReplaceAllString(out, "N")
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	if strings.HasPrefix(s.command, "vsctl fdb show") {
		slices.Sort(lines) // by addresses that the kernel has made up
	}
	return strings.Join(lines, "\n")
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// shell is one bash, as somebody sits before it.
type shell struct {
	t       testing.TB
	p       *Process
	keys    *os.File
	typed   int // commands
	printed int // octets of what bash has printed, that were read
}

func newShell(h *Host) *shell {
	h.t.Helper()
	fifo := h.Path("keys")
	h.Run("mkfifo", fifo)
	path := filepath.Dir(vsctlPath(h.t)) + ":" + os.Getenv("PATH")
	p, err := h.start("", []string{"PATH=" + path}, "bash", "-c", `exec bash 2>&1 <"$0"`, fifo)
	if err != nil {
		h.t.Fatal(err)
	}
	keys, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	sh := &shell{t: h.t, p: p, keys: keys}
	h.onClose(func() {
		// What the tour would end, where it did not come so far.
		_, _ = fmt.Fprintf(keys, "[ ! -e vm1.pid ] || kill $(cat vm1.pid); kill $(jobs -p); wait; exit\n")
		keys.Close()
		select {
		case <-p.Done():
		case <-time.After(Patience):
			p.Kill()
		}
	})
	sh.run("unset VSWITCH_SOCKET") // the README has the usual one
	return sh
}

// run types a command and returns what it printed.
func (sh *shell) run(command string) string {
	sh.t.Helper()
	sh.typed++
	end := fmt.Sprintf("@@ end of %d\n", sh.typed)
	if _, err := fmt.Fprintf(sh.keys, "%s\necho '%s'\n", command, strings.TrimSuffix(end, "\n")); err != nil {
		sh.t.Fatal(err)
	}
	deadline := time.After(4 * Patience)
	for {
		all, more := sh.p.stdout.read()
		if out, _, ended := strings.Cut(all[sh.printed:], end); ended {
			sh.printed += len(out) + len(end)
			return out
		}
		select {
		case <-more:
		case <-sh.p.Done():
			sh.t.Fatalf("the shell has ended at: %s\n%s", command, sh.p.Output())
		case <-deadline:
			sh.t.Fatalf("still runs: %s\n%s", command, sh.p.Output())
		}
	}
}
