package main

import (
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/handover"
)

// given returns a descriptor of that name.
func given(t *testing.T, name string) handover.Given {
	t.Helper()
	fd, err := unix.MemfdCreate("given", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) }) // that it may be closed already is no matter
	return handover.Given{Name: name, FD: fd}
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

// TestWhatIsGiven tells what was kept from sockets, of which each counts.
func TestWhatIsGiven(t *testing.T) {
	var all []handover.Given
	for _, name := range []string{
		"vswitchd-state", "vswitchd-port-0", "vswitchd-port-12", "vswitchd-port-0", // kept, one twice
		"vswitchd.socket", "vswitchd.socket", "unknown", "vswitchd-admin", "vswitchd-port-", "vswitchd-port-x", "vswitchd-port-1x", // sockets
	} {
		all = append(all, given(t, name))
	}
	kept, sockets := sorted(all)
	if want := map[string]int{"vswitchd-state": all[0].FD, "vswitchd-port-0": all[3].FD, "vswitchd-port-12": all[2].FD}; !maps.Equal(kept, want) {
		t.Errorf("kept: got %v, want %v", kept, want)
	}
	var want []int
	for _, g := range all[4:] {
		want = append(want, g.FD)
	}
	if !slices.Equal(sockets, want) {
		t.Errorf("sockets: got %v, want %v", sockets, want)
	}
	for i, g := range all {
		if isOpen(g.FD) != (i != 1) {
			t.Errorf("%d, %s: open: %v", i, g.Name, isOpen(g.FD))
		}
	}
	if _, _, err := listen(sockets, options{}); err == nil || !strings.Contains(err.Error(), "listens at 7 sockets") {
		t.Errorf("7 sockets: %v", err)
	}
}

// TestDepositThatIsNotWhole is let go.
func TestDepositThatIsNotWhole(t *testing.T) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	kept, _ := sorted([]handover.Given{given(t, "vswitchd-port-0"), given(t, "vswitchd-port-1")})
	if dep := findDeposit(kept, log); dep != nil {
		t.Errorf("without the state: got %+v", dep)
	}
	for name, fd := range kept {
		if isOpen(fd) {
			t.Errorf("%s is open still", name)
		}
	}
}
