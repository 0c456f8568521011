package netns

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// FuzzPath holds that whatever people call a namespace, what is opened for it
// is the path that they wrote, a process's, or a file in Dir.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"web", "/run/netns/web", "pid:1", "pid:0", "pid:-1", "pid:+1", "pid:1/../..", "", ".", "..", "../x", "a/b", "a\x00", "/", "//a/../b", "pid:99999999999999999999"} {
		f.Add(s)
	}
	process := regexp.MustCompile(`^/proc/[1-9][0-9]*/ns/net$`)
	f.Fuzz(func(t *testing.T, ref string) {
		path, err := Path(ref)
		switch {
		case err != nil:
			if path != "" {
				t.Errorf("%q: got %q with error %v", ref, path, err)
			}
		case strings.HasPrefix(ref, "/"):
			if path != filepath.Clean(ref) {
				t.Errorf("%q: got %q", ref, path)
			}
		case strings.HasPrefix(ref, "pid:"):
			if !process.MatchString(path) {
				t.Errorf("%q: got %q", ref, path)
			}
		case filepath.Dir(path) != Dir || filepath.Base(path) != ref:
			t.Errorf("%q: got %q, which is not in %s", ref, path, Dir)
		}
	})
}
