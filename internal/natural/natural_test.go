package natural

import (
	"slices"
	"testing"
)

func TestCompare(t *testing.T) {
	want := []string{"p1", "p2", "p10", "vmlinuz-5.10.0", "vmlinuz-6.1.0-9", "vmlinuz-6.1.0-9-amd64", "vmlinuz-6.1.0-010-amd64", "vmlinuz-6.1.0-10-amd64", "vmlinuz-6.12.9", "x"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Compare)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if Compare("a", "a") != 0 || Compare("a01", "a1") == 0 {
		t.Error("only the same name is the same")
	}
}
