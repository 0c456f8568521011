package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/internal/document"
)

// Exit codes; scripts rely on them.
const (
	exitOK          = 0
	exitRefused     = 1   // by the daemon, because of how things stand
	exitUsage       = 2   // wrong usage, malformed words
	exitNoDaemon    = 3   // nobody answers at the socket, or not in time
	exitInterrupted = 130 // 128 and the number of SIGINT, as of a shell
)

// app is one run of vsctl.
type app struct {
	stdout, stderr io.Writer

	// Of the command line.
	socket  string
	json    bool
	timeout seconds
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr, timeout: seconds(client.DefaultTimeout)}
	root := a.root()
	root.SetArgs(aliasFlagsLast(args))
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if !errors.As(err, new(silent)) {
		// A mistake in the flags may have kept -j from being read.
		a.complain(err, a.json || asksJSON(args))
	}
	return code
}

// silent ends a command whose output says already what is wrong.
type silent struct{ code int }

func (silent) Error() string { return "" }

// exitWith is an error with an exit code of its own.
type exitWith struct {
	code    int
	message string
}

func (e *exitWith) Error() string { return e.message }

// usage is an error in how the command was called.
func usage(format string, args ...any) error { return api.Errorf(api.Invalid, format, args...) }

func exitCode(err error) int {
	var quiet silent
	var own *exitWith
	var answered *api.Error
	var output outputError
	switch {
	case errors.As(err, &quiet):
		return quiet.code
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &output):
		return exitRefused
	case !errors.As(err, &answered), answered.Code == api.Invalid:
		return exitUsage // cobra's own errors are about words, too
	case answered.Code == api.NoDaemon, answered.Code == api.Timeout:
		return exitNoDaemon
	}
	return exitRefused
}

// complain writes an error as people, or scripts, want it.
func (a *app) complain(err error, asJSON bool) {
	var e *api.Error
	switch {
	case errors.Is(err, context.Canceled):
		what, known := strings.CutSuffix(err.Error(), ": "+context.Canceled.Error())
		if !known {
			what = "interrupted: vsctl show tells whether it was done"
		}
		e = api.Errorf("interrupted", "%s", what)
	case !errors.As(err, &e):
		e = api.Errorf(api.Invalid, "%v", err)
	}
	if asJSON {
		encodeJSON(a.stderr, api.ErrorBody{Error: e})
		return
	}
	fmt.Fprintf(a.stderr, "vsctl: %s\n", e.Message)
}

// asksJSON looks for -j where the flags could not be parsed.
func asksJSON(args []string) bool {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "-j") || slices.Contains(args, "--json")
}

func (a *app) root() *cobra.Command {
	root := a.group(&cobra.Command{
		Use:   "vsctl NOUN",
		Short: "Control a vswitchd",
		Long: `vsctl controls a running vswitchd over its Unix socket.

A port is named PORT, on switch sw0, or SWITCH/PORT. Where SWITCH may be left
out, showing means all switches and changing means sw0.

Exit codes: 0 done; 1 refused as things stand; 2 wrong usage; 3 no daemon
answers, or not in time.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		// Cobra's own has no good exit codes.
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.timeout <= 0 {
				return usage("--timeout 0 leaves no time for an answer: say such as 10s")
			}
			return nil
		},
	})
	root.SetFlagErrorFunc(explainFlag)
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", "", "the daemon's socket (default $"+client.SocketVar+", else "+client.DefaultSocket+")")
	flags.BoolVarP(&a.json, "json", "j", false, "print one JSON document")
	flags.Var(&a.timeout, "timeout", "wait for an answer this long")
	root.AddGroup(
		&cobra.Group{ID: "nouns", Title: "The switch:"},
		&cobra.Group{ID: "labs", Title: "Networks in one file:"},
		&cobra.Group{ID: "looks", Title: "At a glance:"},
		&cobra.Group{ID: "ovs", Title: "Open vSwitch's words:"},
	)
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add("nouns", a.switchCommand(), a.portCommand(), a.profileCommand(), a.vlanCommand(), a.fdbCommand(), a.configCommand())
	add("labs", a.labCommand())
	add("looks", a.showCommand(), a.statsCommand(), a.dropsCommand())
	add("ovs", a.ovsCommands()...)
	add("", a.versionCommand(), a.doctorCommand(), a.shutdownCommand(), completionCommand(), manCommand())
	return root
}

// explainFlag says what a flag wants, without the names of Go's functions, or
// which one was meant.
func explainFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		return suggestFlag(c, unknown)
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	switch f := invalid.GetFlag(); f.Value.Type() {
	case "int":
		return usage("--%s %q is not a number", f.Name, invalid.GetValue())
	case "bool":
		return usage("--%s=%s is neither true nor false", f.Name, invalid.GetValue())
	default:
		return usage("--%s: %v", f.Name, errors.Unwrap(invalid))
	}
}

// suggestFlag adds to the news that there is no such flag which one may have
// been meant, or where they are told.
func suggestFlag(c *cobra.Command, err *pflag.NotExistError) error {
	word := err.GetSpecifiedName()
	var near []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if len(word) > 1 && document.Distance(f.Name, word) <= 1+len(word)/4 {
			near = append(near, "--"+f.Name)
		}
	})
	if len(near) == 0 || len(near) > 3 {
		return usage("%v: see %s --help", err, c.CommandPath())
	}
	return usage("%v; did you mean %s?", err, strings.Join(near, " or "))
}

// group makes c a noun whose verbs follow: without one, or with a wrong one,
// it was called wrongly.
func (a *app) group(c *cobra.Command) *cobra.Command {
	c.Use += " VERB"
	c.DisableFlagsInUseLine = true
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 && a.json {
			return usage("%s: what shall be done is missing: see %s --help", c.CommandPath(), c.CommandPath())
		}
		if len(args) == 0 {
			c.SetOut(a.stderr)
			_ = c.Help() // fails as stderr does
			return silent{exitUsage}
		}
		hint := "see " + c.CommandPath() + " --help"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return usage("%s knows no %q: %s", c.CommandPath(), args[0], hint)
	}
	c.SuggestionsMinimumDistance = 2
	return c
}

// words checks that the arguments are those named; one in brackets may be left
// out, one that ends in dots may be there any number of times.
func words(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		for i, name := range names {
			switch {
			case strings.Contains(name, "..."):
				return nil
			case i >= len(args) && !strings.HasPrefix(name, "["):
				return usage("%s: %s is missing: write %s", c.CommandPath(), name, useLine(c))
			}
		}
		if len(args) > len(names) {
			extra := args[len(names)]
			if c.Flags().Lookup(extra) != nil {
				return usage("%s: %q is one word too many: did you mean --%s?", c.CommandPath(), extra, extra)
			}
			return usage("%s: %q is one word too many: write %s", c.CommandPath(), extra, useLine(c))
		}
		return nil
	}
}

func useLine(c *cobra.Command) string { return strings.TrimSuffix(c.UseLine(), " [flags]") }

// patience is how long a daemon is waited for that is not there yet: commands
// that come right behind the one that started it shall find it.
const patience = time.Second

// client returns a client of the daemon that the command line names.
func (a *app) client() *client.Client {
	return client.New(client.Config{Socket: a.socket, Timeout: time.Duration(a.timeout), Patience: patience})
}

// glance returns a client that asks what is there now, for who only wants to
// know whether a daemon is, and for completion.
func (a *app) glance() *client.Client {
	return client.New(client.Config{Socket: a.socket, Timeout: time.Duration(a.timeout)})
}

// outputError is the failure to write what was found.
type outputError struct{ error }

// print writes v with -j, and what text makes of it without.
func (a *app) print(v any, text func(w io.Writer) error) error {
	var err error
	if a.json {
		err = encodeJSON(a.stdout, v)
	} else {
		err = text(a.stdout)
	}
	if err != nil {
		return outputError{fmt.Errorf("write the output: %w", err)}
	}
	return nil
}

func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// seconds is a flag for a time: "300s", "5m", or a bare number of seconds.
type seconds time.Duration

func (s *seconds) String() string {
	return strconv.FormatFloat(time.Duration(*s).Seconds(), 'f', -1, 64) + "s"
}

func (s *seconds) Type() string { return "time" }

func (s *seconds) Set(word string) error {
	if _, err := strconv.ParseUint(word, 10, 32); err == nil {
		word += "s"
	}
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time: write such as 300s, 5m or 0", word)
	}
	*s = seconds(d)
	return nil
}
