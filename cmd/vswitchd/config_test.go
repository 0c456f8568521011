package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadConfig reads what --config names: also a pipe, but not for longer than the
// daemon lives, and no more than a configuration has.
func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	file, pipe := filepath.Join(dir, "net.yaml"), filepath.Join(dir, "pipe")
	const text = "switches: {}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readConfig(t.Context(), file); err != nil || string(got) != text {
		t.Errorf("a file: %q, %v", got, err)
	}
	if _, err := readConfig(t.Context(), "/dev/zero"); err == nil || !strings.Contains(err.Error(), "over 16 MiB") {
		t.Errorf("what has no end: %v", err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { _ = os.WriteFile(pipe, []byte(text), 0) }() // the test says what was read
	if got, err := readConfig(t.Context(), pipe); err != nil || string(got) != text {
		t.Errorf("a pipe: %q, %v", got, err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err := readConfig(ctx, pipe); !errors.Is(err, context.Canceled) {
		t.Errorf("a pipe that nobody writes to, at the end: %v", err)
	}
}
