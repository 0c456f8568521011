package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vswitch/vswitch/frame"
)

// docs/cli.md names every command and every flag.
func TestEveryWordIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: io.Discard, stderr: io.Discard}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Hidden {
			return
		}
		path := strings.TrimPrefix(c.CommandPath(), "vsctl ")
		if c.Runnable() && !c.HasSubCommands() && !strings.Contains(string(text), "`"+path) {
			t.Errorf("docs/cli.md does not name the command %q", path)
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(string(text), "--"+f.Name) {
				t.Errorf("docs/cli.md does not name the flag --%s of %q", f.Name, path)
			}
		})
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
}

func TestEveryReasonIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for r := frame.Pass + 1; r < frame.NumReasons; r++ {
		if !strings.Contains(string(text), "`"+r.String()+"`") {
			t.Errorf("docs/cli.md does not explain the drop reason %s", r)
		}
	}
}
