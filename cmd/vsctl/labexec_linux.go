package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/lab"
)

func (a *app) labExec() *cobra.Command {
	c := &cobra.Command{
		Use:   "exec LAB NODE [--] COMMAND...",
		Short: "Run a command in a node",
		Long: `Run a command in a node. It takes the place of vsctl: its exit status, input,
output, terminal and signals are its own. Nodes are known to it by name.`,
		Example: `  vsctl lab exec campus h1 -- ping -c 1 h2
  vsctl lab exec campus h1 tcpdump -i eth0`,
		Args:              words("LAB", "NODE", "COMMAND..."),
		ValidArgsFunction: completeNode,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 2 && args[2] == "--" {
				args = slices.Delete(slices.Clone(args), 2, 3)
			}
			if len(args) < 3 {
				return usage("%s: COMMAND is missing: write %s", c.CommandPath(), useLine(c))
			}
			return become(args[0], args[1], args[2:], nil)
		},
	}
	c.Flags().SetInterspersed(false) // what follows the first word is the command's
	return c
}

func (a *app) labShell() *cobra.Command {
	return &cobra.Command{
		Use:               "shell LAB NODE",
		Short:             "Open a shell in a node, whose prompt says where one is",
		Args:              words("LAB", "NODE"),
		ValidArgsFunction: completeNode,
		RunE: func(_ *cobra.Command, args []string) error {
			prompt := fmt.Sprintf(`[%s %s] \w \$ `, args[0], args[1])
			bash, err := exec.LookPath("bash")
			if err != nil {
				return become(args[0], args[1], []string{"sh"}, []string{"PS1=[" + args[0] + " " + args[1] + "] $ "})
			}
			// What the user's own file sets is kept, but for the prompt.
			const rc = `[ ! -r ~/.bashrc ] || . ~/.bashrc; unset PROMPT_COMMAND; PS1=$VSWITCH_PROMPT`
			file, err := promptFile(args[0], rc)
			if err != nil {
				return labError(err)
			}
			return become(args[0], args[1], []string{bash, "--rcfile", file, "-i"}, []string{"VSWITCH_PROMPT=" + prompt})
		},
	}
}

// promptFile makes a file that bash reads, in the folder of a lab.
func promptFile(name, text string) (string, error) {
	if _, err := lab.Running(name); err != nil {
		return "", err
	}
	path := filepath.Join(lab.Dir, name, "bashrc")
	err := os.WriteFile(path, []byte(text+"\n"), 0o644)
	return path, err
}

func findNode(t *lab.Topology, name string) (*lab.Member, error) {
	if m := t.Member(name); m != nil {
		return m, nil
	}
	return nil, api.Errorf(api.NotFound, "lab %s has no node %q%s", t.Name, name, t.LikeNode(name))
}

// become runs a program in a node in place of this one.
func become(name, node string, command, env []string) error {
	t, err := lab.Running(name)
	if err != nil {
		return labError(err)
	}
	m, err := findNode(t, node)
	if err != nil {
		return err
	}
	if m.Kind == lab.VM {
		return api.Errorf(api.Refused, "%s is a virtual machine: `vsctl lab console %s %s` opens its console; commands run in a host or router", node, name, node)
	}
	if m.Kind != lab.Host && m.Kind != lab.Router {
		return api.Errorf(api.Refused, "%s is of kind %s: commands run in a host or router", node, m.Kind)
	}
	if err := needRoot("enter a node"); err != nil {
		return err
	}
	// The thread that enters becomes the program.
	runtime.LockOSThread()
	if err := m.Enter(name); err != nil {
		return labError(err)
	}
	path, err := exec.LookPath(command[0])
	if err != nil && errors.Is(err, fs.ErrPermission) {
		return &exitWith{126, fmt.Sprintf("%s cannot be run", command[0])}
	}
	if err != nil {
		return &exitWith{127, fmt.Sprintf("there is no program %s", command[0])}
	}
	err = syscall.Exec(path, command, append(m.Environment(name), env...))
	code := 126
	if errors.Is(err, syscall.ENOENT) {
		code = 127
	}
	return &exitWith{code, fmt.Sprintf("%s: %v", strings.Join(command, " "), err)}
}

// completeNode offers labs, and then their nodes in which commands run.
var completeNode = completeNodeOf(lab.Host, lab.Router)

// completeNodeOf offers labs, and then their nodes of some kinds.
func completeNodeOf(kinds ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return completeLab(c, args, typed)
		case 1:
			t, err := lab.Running(args[0])
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, m := range t.Members {
				if slices.Contains(kinds, m.Kind) {
					names = append(names, m.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveDefault
	}
}
