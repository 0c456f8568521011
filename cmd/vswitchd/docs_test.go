package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The synopses of docs/cli.md and docs/operations.md name every flag, and the latter's
// table has a row for each.
func TestEveryFlagIsDocumented(t *testing.T) {
	for _, name := range []string{"cli.md", "operations.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		synopsis := regexp.MustCompile(`(?m)^    vswitchd .*$`).FindString(string(text))
		newCommand(nil).Flags().VisitAll(func(f *pflag.Flag) {
			if !regexp.MustCompile(`\[--` + f.Name + `[] =]`).MatchString(synopsis) {
				t.Errorf("the synopsis in docs/%s does not name the flag --%s", name, f.Name)
			}
			if name == "operations.md" && !strings.Contains(string(text), "\n| `--"+f.Name+"` |") {
				t.Errorf("the table in docs/%s has no row for the flag --%s", name, f.Name)
			}
		})
	}
}
