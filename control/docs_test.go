package control

import (
	"os"
	"strings"
	"testing"
)

// docs/api.md has a section, with a command that was run, for every route.
func TestEveryRouteIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, s := range strings.Split(string(text), "\n### ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		sections[title] = body
	}
	routes := map[string]bool{"GET /v1/events": true}
	for path, m := range New(nil, Config{}).table() {
		for method := range m {
			routes[method+" "+path] = true
		}
	}
	for route := range routes {
		if !strings.Contains(sections[route], "\n$ curl ") {
			t.Errorf("docs/api.md has no section %q with a curl command", route)
		}
	}
	for title := range sections {
		if !routes[title] {
			t.Errorf("docs/api.md has a section %q, but no such route stands", title)
		}
	}
}
