package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An engine that is installed may still not answer.
func TestDoctorAsksContainerEngines(t *testing.T) {
	const fine, broken = "exit 0", "echo a warning >&2; echo Cannot connect to the Docker daemon >&2; exit 1"
	for _, c := range []struct {
		podman, docker string // scripts; empty: not installed
		state          string
		words          []string
	}{
		{"", "", warned, []string{"neither podman nor docker", "apt-get install podman"}},
		{fine, fine, okay, []string{"podman and docker can be asked"}},
		{fine, "", okay, []string{"podman can be asked"}},
		{fine, broken, warned, []string{"podman can be asked for containers; docker cannot be asked for containers: Cannot connect to the Docker daemon", "docker ps"}},
		{"", broken, warned, []string{"docker cannot be asked"}},
	} {
		bin := t.TempDir()
		for name, script := range map[string]string{"podman": c.podman, "docker": c.docker} {
			if script == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		t.Setenv("PATH", bin)
		f := checkContainers(t.Context())
		if f.State != c.state {
			t.Errorf("podman %q, docker %q: %s, want %s", c.podman, c.docker, f.State, c.state)
		}
		for _, w := range c.words {
			if !strings.Contains(f.Detail+f.Mend, w) {
				t.Errorf("podman %q, docker %q: %q %q does not say %q", c.podman, c.docker, f.Detail, f.Mend, w)
			}
		}
	}
}
