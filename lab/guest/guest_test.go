package guest

import (
	"errors"
	"testing"
)

// TestHeard reads from a console what guests write to it.
func TestHeard(t *testing.T) {
	broken := errors.New("no network card\nhas come up")
	for _, x := range []struct {
		line   string
		ready  bool
		failed string
	}{
		{Ready("vm1"), true, ""},
		{"[   12.3] cloud-init[379]: " + Ready("vm1") + "\r\n", true, ""},
		{Failed("vm1", broken) + "\r\n", false, "no network card; has come up"},
		{Ready("vm10"), false, ""},
		{Ready("vm"), false, ""},
		{"vswitch: vm1: ready or not", false, ""},
		{"login: ", false, ""},
		{"", false, ""},
	} {
		if ready, failed := Heard("vm1", x.line); ready != x.ready || failed != x.failed {
			t.Errorf("%q: got %t, %q; want %t, %q", x.line, ready, failed, x.ready, x.failed)
		}
	}
}
