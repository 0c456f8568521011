package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:       "completion SHELL",
		Short:     "Print what makes bash, zsh, fish or powershell complete vsctl's words",
		Example:   "  source <(vsctl completion bash)",
		Args:      words("SHELL"),
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			return usage("no completion for %q: there is bash, zsh, fish and powershell", args[0])
		},
	}
}

// manCommand is for make install.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a folder",
		Hidden: true,
		Args:   words("DIR"),
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			root.DisableAutoGenTag = true // the same pages from the same source
			forPages(root)
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return outputError{err}
			}
			header := &doc.GenManHeader{Section: "8", Source: "vswitch " + version, Manual: "vswitch"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return outputError{fmt.Errorf("write the manual pages: %w", err)}
			}
			return nil
		},
	}
}

// forPages makes of a command's help, and of those below it, what cobra's
// manual pages can show.
func forPages(c *cobra.Command) {
	if strings.Contains(c.Name(), "/") {
		// The name of a page is made of the command's, and a slash does not
		// fit into it: another page has it, see fdbShow.
		c.Hidden = true
	}
	c.Long = fenceTables(c.Long)
	for _, sub := range c.Commands() {
		forPages(sub)
	}
}

// fenceTables marks paragraphs whose lines are indented as they are in the
// terminal, so that Markdown, which the pages are made of, leaves them alone.
func fenceTables(text string) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		lines := strings.Split(p, "\n")
		if !slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "  ") }) {
			paragraphs[i] = "```\n" + p + "\n```"
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
