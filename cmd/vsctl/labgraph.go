package main

import (
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/lab"
)

// graphFormats are what a lab is drawn as.
var graphFormats = []string{"tree", "dot", "mermaid", "json", "svg", "html"}

func (a *app) labGraph() *cobra.Command {
	var format, file string
	c := &cobra.Command{
		Use:   "graph LAB|FILE",
		Short: "Draw a lab: as it stands, or as a file has it",
		Long: `Draw a lab that is up, with the state of its links, or one as its file has it:

  tree     for a terminal
  dot      for Graphviz
  mermaid  for Mermaid, which many wikis draw
  json     for programs
  svg      a picture
  html     a page with the picture, to move about in

Picture and page need nothing from the network. With -o the format is that of the
file's name.`,
		Example: `  vsctl lab graph campus
  vsctl lab graph campus.yaml -o campus.svg`,
		Args:              words("LAB|FILE"),
		ValidArgsFunction: completeLab,
		RunE: func(c *cobra.Command, args []string) error {
			if a.json {
				format = "json"
			}
			if file != "" && file != "-" && !c.Flags().Changed("format") && !a.json {
				if format = formatOf(file); format == "" {
					return usage("what %s shall be, its name does not say: give it one that ends with such as .svg, or say --format", file)
				}
			}
			g, err := a.graph(c, args[0])
			if err != nil {
				return err
			}
			text, err := draw(g, format)
			if err != nil {
				return err
			}
			if file != "" && file != "-" {
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					return labError(err)
				}
				return nil
			}
			if _, err := io.WriteString(a.stdout, text); err != nil {
				return outputError{err}
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "tree", strings.Join(graphFormats, ", "))
	c.Flags().StringVarP(&file, "output", "o", "", "write it to this `FILE`")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(graphFormats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// formatOf returns the format that a file's name ends with; "": it says none.
func formatOf(file string) string {
	for ending, format := range map[string]string{".svg": "svg", ".html": "html", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".json": "json", ".txt": "tree"} {
		if strings.HasSuffix(file, ending) {
			return format
		}
	}
	return ""
}

// graph draws a lab that is up, or one of a file.
func (a *app) graph(c *cobra.Command, name string) (*lab.Graph, error) {
	if isLabFile(name) {
		t, _, _, err := readLab(name)
		if err != nil {
			return nil, err
		}
		return t.Graph(), nil
	}
	m, cl := a.labManager()
	defer cl.Close()
	o, err := m.Show(c.Context(), name)
	if err != nil {
		return nil, labError(err)
	}
	return lab.GraphOf(o), nil
}

// isLabFile reports whether somebody means a file, and not a lab that is up.
func isLabFile(name string) bool {
	return strings.ContainsRune(name, '/') || strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") || name == "-"
}

func draw(g *lab.Graph, format string) (string, error) {
	switch format {
	case "tree":
		return g.Tree(), nil
	case "dot":
		return g.Dot(), nil
	case "mermaid":
		return g.Mermaid(), nil
	case "svg":
		return g.SVG(), nil
	case "html":
		return g.HTML(), nil
	case "json":
		var b strings.Builder
		err := encodeJSON(&b, g)
		return b.String(), err
	}
	return "", usage("--format %q is none of %s", format, strings.Join(graphFormats, ", "))
}
