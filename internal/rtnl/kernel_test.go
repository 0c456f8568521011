package rtnl

import "testing"

func TestBeforeComparesReleases(t *testing.T) {
	for _, test := range []struct {
		release string
		want    bool
	}{
		{"6.1.0-18-amd64", true}, {"5.18", true}, {"5.4.0", true}, {"4.19.12", true},
		{"6.2.0", false}, {"6.2-rc1", false}, {"6.12.9", false}, {"7.0.0", false}, {"", false}, {"unknown", false},
	} {
		if got := before(test.release, 6, 2); got != test.want {
			t.Errorf("before(%q, 6, 2): got %v, want %v", test.release, got, test.want)
		}
	}
}
