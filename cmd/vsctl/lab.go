package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/lab"
)

func (a *app) labCommand() *cobra.Command {
	c := a.group(&cobra.Command{
		Use:   "lab",
		Short: "Labs: a network of namespaces and switches in one file",
		Long: `A lab is a YAML file with nodes and the links between them. lab up builds it, in
a second, and lab down takes all of it away. Labs need root.`,
	})
	c.AddCommand(a.labUp(), a.labDown(), a.labApply(), a.labList(), a.labShow(), a.labCheck(), a.labExec(), a.labShell(), a.labConsole(), a.labPing(), a.labTest(), a.labGraph(), a.labExport(), a.labImport(), a.labSchema(), a.labLink(), a.labImpair(), labKeep())
	return c
}

// readLab reads a lab from a file; "-" is standard input.
func readLab(file string) (t *lab.Topology, path string, text []byte, err error) {
	path, text, err = readInput(file, "a lab, with nodes and links")
	if err != nil {
		return nil, "", nil, err
	}
	t, err = lab.Read(path, text)
	return t, path, text, err
}

// readInput reads a YAML file that people write; "-" is standard input. what says
// what shall be in it.
func readInput(file, what string) (path string, text []byte, err error) {
	if path = file; file == "-" {
		path = "stdin.yaml"
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = usage("there is no file %s: name a YAML file that has %s", file, what)
	case err != nil && isDir(file):
		err = usage("%s is a directory: name the file in it that has %s", file, what)
	case err != nil:
		err = usage("%v", err)
	}
	return path, text, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// labManager returns what builds labs, with a client that waits for the daemon
// as long as a lab may keep it busy.
func (a *app) labManager() (*lab.Manager, *client.Client) {
	cl := client.New(client.Config{Socket: a.socket, Timeout: max(time.Duration(a.timeout), time.Minute)})
	return lab.NewManager(lab.Config{Client: cl, Daemon: daemonProgram(), Keeper: keeperProgram(), Progress: a.progress()}), cl
}

// daemonProgram finds vswitchd beside this program, as it is installed, or in
// $PATH.
func daemonProgram() string {
	if self, err := os.Executable(); err == nil {
		for _, path := range []string{"vswitchd", "../sbin/vswitchd"} {
			path = filepath.Join(filepath.Dir(self), path)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
	}
	path, err := exec.LookPath("vswitchd")
	if err != nil {
		return ""
	}
	return path
}

// keeperProgram is this program.
func keeperProgram() []string {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{self, "lab", "keep"}
}

// labKeep is what runs in the background of a lab with services.
func labKeep() *cobra.Command {
	return &cobra.Command{
		Use:    "keep LAB",
		Short:  "Run the services of a lab",
		Hidden: true,
		Args:   words("LAB"),
		RunE: func(c *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err == nil {
				err = lab.Keep(c.Context(), args[0], self)
			}
			return labError(err)
		},
	}
}

// progress shows what is being done, one line that changes, to a terminal.
func (a *app) progress() func(lab.Progress) {
	out, ok := a.stderr.(*os.File)
	if info, err := statOf(out, ok); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(p lab.Progress) {
		switch {
		case p.Done == p.Of && p.Of > 0:
			fmt.Fprint(out, "\r\x1b[K")
		case p.TakingBack:
			fmt.Fprintf(out, "\r\x1b[Ktaking back: %s", p.What)
		default:
			fmt.Fprintf(out, "\r\x1b[K%3d %% %s: %s", 100*p.Done/max(p.Of, 1), p.Kind, p.What)
		}
	}
}

func statOf(f *os.File, ok bool) (fs.FileInfo, error) {
	if !ok {
		return nil, fs.ErrInvalid
	}
	return f.Stat()
}

// labError gives an error of a lab the code for how things stand, unless it has
// one: what is wrong with a file is about words.
func labError(err error) error {
	var answered *api.Error
	if err == nil || errors.As(err, &answered) && answered.Message == err.Error() || errors.Is(err, context.Canceled) {
		return err
	}
	return api.Errorf(api.Refused, "%v", err)
}

func (a *app) labCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say all that is wrong with a lab's file; needs neither root nor a daemon",
		Args:  words("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			t, path, _, err := readLab(args[0])
			if err != nil {
				return err
			}
			if err := t.Buildable(); err != nil {
				fmt.Fprintf(a.stderr, "vsctl: on this machine it could not be built yet: %v\n", err)
			}
			return a.print(map[string]any{"name": t.Name, "nodes": len(t.Members), "links": len(t.Cables), "tests": len(t.Tests)}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s: lab %s, %s: nothing is wrong\n", path, t.Name, labSize(t))
				return err
			})
		},
	}
}

func labSize(t *lab.Topology) string {
	return plural(len(t.Members), "node", "nodes") + ", " + plural(len(t.Cables), "link", "links")
}

func (a *app) labUp() *cobra.Command {
	return &cobra.Command{
		Use:     "up FILE",
		Aliases: []string{"deploy"},
		Short:   "Build a lab, whole or not at all",
		Long: `Build a lab. Where no daemon answers at the socket, one is started, which ends
with the last lab. What fails, or is interrupted, is taken back. A lab that is up
just so is no error.`,
		Args: words("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			t, path, text, err := readLab(args[0])
			if err != nil {
				return err
			}
			if err := needRoot("build a lab"); err != nil {
				return err
			}
			m, cl := a.labManager()
			defer cl.Close()
			begin := time.Now()
			err = m.Up(c.Context(), t, absolute(path), text)
			done := fmt.Sprintf("%s: up with %s, in %.1f s", t.Name, labSize(t), time.Since(begin).Seconds())
			if errors.Is(err, lab.ErrUpAlready) {
				err, done = nil, fmt.Sprintf("%s: is up already", t.Name)
			}
			if err != nil {
				return labError(err)
			}
			return a.print(map[string]any{"name": t.Name, "seconds": time.Since(begin).Seconds()}, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, done)
				return err
			})
		},
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func needRoot(what string) error {
	if os.Geteuid() != 0 {
		return api.Errorf(api.Refused, "only root may %s: use sudo", what)
	}
	return nil
}

func (a *app) labDown() *cobra.Command {
	return &cobra.Command{
		Use:               "down LAB...",
		Aliases:           []string{"destroy"},
		Short:             "Take a lab away with all that is its; also what is left of one",
		Args:              words("LAB..."),
		ValidArgsFunction: completeLab,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("%s: LAB is missing: `vsctl lab list` shows those that are up", c.CommandPath())
			}
			if err := needRoot("take a lab away"); err != nil {
				return err
			}
			m, cl := a.labManager()
			defer cl.Close()
			for _, name := range args {
				if err := a.takeDown(c.Context(), m, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// takeDown takes one lab down, which is named by its file, too.
func (a *app) takeDown(ctx context.Context, m *lab.Manager, name string) error {
	if isLabFile(name) {
		t, _, _, err := readLab(name)
		if t == nil || t.Name == "" {
			return err
		}
		name = t.Name
	}
	d, err := m.Down(ctx, name)
	if err != nil {
		return labError(err)
	}
	return a.print(map[string]any{"name": name, "found": d.Found, "asleep": d.Asleep, "daemon_goes_on": d.GoesOn}, func(w io.Writer) error {
		done := "is down"
		switch {
		case !d.Found:
			done = "is not up: nothing of it is there"
		case d.Asleep != "":
			done = fmt.Sprintf("is down. No daemon answers at %s, which keeps its switches: when it runs again, lab down %s removes them", d.Asleep, name)
		}
		if d.GoesOn {
			done += ". The daemon that was started for labs goes on, as it has switches or ports that are no lab's: `vsctl shutdown` ends it"
		}
		_, err := fmt.Fprintf(w, "%s: %s\n", name, done)
		return err
	})
}

func (a *app) labApply() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a lab that is up as its file has it, touching only what differs",
		Args:  words("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			t, path, text, err := readLab(args[0])
			if err != nil {
				return err
			}
			if err := needRoot("change a lab"); err != nil {
				return err
			}
			m, cl := a.labManager()
			defer cl.Close()
			changes, err := m.Apply(c.Context(), t, absolute(path), text, dryRun)
			if err != nil {
				return labError(err)
			}
			return a.print(map[string]any{"name": t.Name, "changes": append([]string{}, changes...), "dry_run": dryRun}, func(w io.Writer) error {
				for _, change := range changes {
					if _, err := fmt.Fprintln(w, change); err != nil {
						return err
					}
				}
				if len(changes) > 0 {
					return nil
				}
				_, err := fmt.Fprintf(w, "%s: nothing differs\n", t.Name)
				return err
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, and do nothing")
	return c
}

func (a *app) labList() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the labs that are up",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			all, err := lab.List()
			if err != nil {
				return labError(err)
			}
			return a.print(all, func(w io.Writer) error {
				t := newTable("LAB", "NODES", "LINKS", "SINCE", "FILE")
				for _, l := range all {
					if l.Problem != "" {
						t.add(l.Name, "-", "-", "-", l.Problem)
						continue
					}
					t.add(l.Name, fmt.Sprint(l.Nodes), fmt.Sprint(l.Links), l.Since.Format(time.DateTime), l.File)
				}
				return t.write(w, "NODES", "LINKS")
			})
		},
	}
}

func (a *app) labShow() *cobra.Command {
	return &cobra.Command{
		Use:               "show LAB",
		Aliases:           []string{"inspect"},
		Short:             "Show a lab's nodes and links as they stand",
		Args:              words("LAB"),
		ValidArgsFunction: completeLab,
		RunE: func(c *cobra.Command, args []string) error {
			m, cl := a.labManager()
			defer cl.Close()
			o, err := m.Show(c.Context(), args[0])
			if err != nil {
				return labError(err)
			}
			return a.print(o, func(w io.Writer) error { return writeLab(w, o) })
		},
	}
}

func writeLab(w io.Writer, o *lab.Overview) error {
	nodes := newTable("NODE", "KIND", "STATE", "ADDRESSES", "REASON")
	for _, n := range o.Nodes {
		nodes.add(n.Name, n.Kind, n.State, orDash(strings.Join(n.Addresses, ", ")), n.Reason)
	}
	links := newTable("LINK", "STATE", "VLAN", "LEAVES", "REASON")
	for _, l := range o.Links {
		near, far := l.Ends[0], l.Ends[1]
		links.add(near.Node+":"+near.Name+" - "+far.Node+":"+far.Name, l.State, orDash(l.VLANs()), orDash(l.Impairments()), l.Reason)
	}
	if err := nodes.write(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	if err := links.write(w); err != nil || len(o.Services) == 0 {
		return err
	}
	services := newTable("SERVICE", "STATE", "RESTARTS", "LOG", "REASON")
	for _, s := range o.Services {
		state := s.State
		if s.Exit != 0 {
			state = fmt.Sprintf("%s (exit %d)", s.State, s.Exit)
		}
		services.add(s.String(), state, fmt.Sprint(s.Restarts), s.Log, s.Reason)
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return services.write(w, "RESTARTS")
}

// completeLab offers the labs that are up.
func completeLab(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	all, _ := lab.List() // without any there is nothing to offer
	var names []string
	for _, l := range all {
		names = append(names, l.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
