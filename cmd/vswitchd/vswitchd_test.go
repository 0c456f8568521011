package main

import (
	"strings"
	"testing"
)

func TestWrongWords(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"--socket=", "--socket is empty: give a path"},
		{"serve", `"serve": vswitchd takes flags only`},
		{"--workers -1", "--workers -1 is not possible"},
		{"--rx-rings -1", "--rx-rings -1 is not possible"},
		{"--spin 1s", "--spin 1s is not possible: give up to 10ms"},
		{"--rx-ring-rate 0", "or --rx-rings 0 for no rings"},
		{"--log-level loud", "use debug, info, warn or error"},
		{"--nonsense", "unknown flag: --nonsense: see vswitchd --help"},
		{"--takeover=/run/sock", "--takeover=/run/sock is neither true nor false: it needs no value"},
		{"--workers two", `--workers "two" is not a number`},
		{"--spin 50", `--spin "50" is no time: write such as 50us`},
	} {
		var stdout, stderr strings.Builder
		code := run(t.Context(), nil, strings.Fields(c.args), &stdout, &stderr)
		if code != 2 || !strings.Contains(stderr.String(), c.want) {
			t.Errorf("vswitchd %s: exit %d, %q; want 2 and %q", c.args, code, stderr.String(), c.want)
		}
	}
}
