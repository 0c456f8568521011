package main

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// checkName judges the name of a switch or a port before anybody is asked.
func checkName(what, name string) error {
	if nameForm.MatchString(name) {
		return nil
	}
	return usage("%q cannot name a %s: use 1 to 32 of A-Z a-z 0-9 . _ -, the first a letter or digit", name, what)
}

// portName is a port and its switch.
type portName struct{ sw, port string }

func (n portName) String() string { return n.sw + "/" + n.port }

// parsePort reads PORT, on switch sw, or SWITCH/PORT.
func parsePort(s, sw string) (portName, error) {
	n := portName{sw, s}
	if before, after, ok := strings.Cut(s, "/"); ok {
		n = portName{before, after}
	}
	if strings.Contains(n.port, "/") {
		return n, usage("%q cannot name a port: write PORT or SWITCH/PORT", s)
	}
	if err := checkName("switch", n.sw); err != nil {
		return n, err
	}
	return n, checkName("port", n.port)
}

// optionalSwitch reads a SWITCH that may be left out.
func optionalSwitch(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	return args[0], checkName("switch", args[0])
}

// suggest adds to the news that a port was not found which one may have been
// meant.
func (a *app) suggest(ctx context.Context, err error, want portName) error {
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.NotFound || strings.HasPrefix(e.Message, "no profile ") {
		return err
	}
	c := a.client()
	defer c.Close()
	ports, listErr := c.Ports(ctx, "")
	if listErr != nil {
		return err
	}
	var near, elsewhere []string
	for _, p := range ports {
		switch {
		case p.Name == want.port:
			elsewhere = append(elsewhere, p.FullName())
		case p.Switch == want.sw && document.Distance(p.Name, want.port) <= 1+len(want.port)/3:
			near = append(near, p.FullName())
		}
	}
	if len(elsewhere) > 0 {
		near = elsewhere
	}
	if len(near) == 0 || len(near) > 3 { // more are no help
		return err
	}
	return api.Errorf(e.Code, "%s; did you mean %s?", e.Message, strings.Join(near, " or "))
}

// completeSwitch and completePort offer the names that stand.

func (a *app) completeSwitch(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.switchNames(c, args, "")
}

func (a *app) switchNames(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cl := a.glance()
	defer cl.Close()
	switches, _ := cl.Switches(c.Context()) // without a daemon there is nothing to offer
	var names []string
	for _, s := range switches {
		names = append(names, s.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completePort(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.portNames(c, args, typed)
}

func (a *app) portNames(c *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	cl := a.glance()
	defer cl.Close()
	ports, _ := cl.Ports(c.Context(), "")
	var names []string
	for _, p := range ports {
		if p.Switch == api.DefaultSwitch {
			names = append(names, p.Name)
		}
		if p.Switch != api.DefaultSwitch || typed != "" {
			names = append(names, p.FullName())
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
