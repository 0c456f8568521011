package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/lab"
)

func (a *app) labConsole() *cobra.Command {
	return &cobra.Command{
		Use:   "console LAB NODE",
		Short: "Open the serial console of a virtual machine; Ctrl-] leaves it",
		Long: `Open the serial console of a virtual machine. All that is typed goes to the guest,
Ctrl-C as well; Ctrl-] leaves. What the console said last is shown first. One can
be at a console at a time. Where input is no terminal, its end does not leave: the
console is followed until Ctrl-C.`,
		Args:              words("LAB", "NODE"),
		ValidArgsFunction: completeNodeOf(lab.VM),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := lab.Running(args[0])
			if err != nil {
				return labError(err)
			}
			m, err := findNode(t, args[1])
			if err != nil {
				return err
			}
			if m.Kind != lab.VM {
				if m.Kind != lab.Host && m.Kind != lab.Router {
					return api.Errorf(api.Refused, "%s is of kind %s: only a virtual machine has a console", m.Name, m.Kind)
				}
				return api.Errorf(api.Refused, "%s is of kind %s: only a virtual machine has a console; `vsctl lab shell %s %s` opens a shell in it", m.Name, m.Kind, t.Name, m.Name)
			}
			if err := needRoot("open a console"); err != nil {
				return err
			}
			return labError(a.attach(c.Context(), t, m))
		},
	}
}

// leave is Ctrl-], as in telnet(1).
const leave = 0x1d

// attach joins the user to a console.
func (a *app) attach(ctx context.Context, t *lab.Topology, m *lab.Member) error {
	files := t.MachineFiles(m)
	release, err := oneAtATime(files.Console + ".lock")
	if err != nil {
		return err
	}
	defer release()
	conn, err := net.Dial("unix", files.Console)
	if err != nil {
		return api.Errorf(api.Refused, "%s does not run: `vsctl lab show %s` says how it stands", m.Name, t.Name)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := writeTail(a.stdout, files.ConsoleLog); err != nil {
		return err
	}
	if stdin := int(os.Stdin.Fd()); term.IsTerminal(stdin) {
		fmt.Fprintf(a.stderr, "\r\n[the console of %s: Ctrl-] leaves]\r\n", m.Name)
		state, err := term.MakeRaw(stdin)
		if err != nil {
			return fmt.Errorf("set the terminal: %w", err)
		}
		defer func() {
			_ = term.Restore(stdin, state) // there is no other way
			fmt.Fprintln(a.stderr)
		}()
	}
	typed := make(chan error, 1)
	go func() { typed <- sendTyped(conn, os.Stdin) }()
	said := make(chan error, 1)
	go func() {
		_, err := io.Copy(a.stdout, conn)
		said <- err
	}()
	for {
		select {
		case err := <-typed:
			if !errors.Is(err, io.EOF) {
				return nil
			}
			typed = nil // what the console says is followed
		case <-said:
			if ctx.Err() == nil {
				fmt.Fprintf(a.stderr, "\r\n[%s has ended]\r\n", m.Name)
			}
			return nil
		}
	}
}

// sendTyped sends what is typed to a console. It returns nil when the user leaves,
// and io.EOF at the end of input.
func sendTyped(conn net.Conn, in io.Reader) error {
	buf := make([]byte, 256)
	for {
		n, err := in.Read(buf)
		at := bytes.IndexByte(buf[:n], leave)
		if at >= 0 {
			n = at
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return err
		}
		if at >= 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// oneAtATime takes a console. A second user would be kept waiting by QEMU, and not
// know why.
func oneAtATime(path string) (release func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, api.Errorf(api.Refused, "somebody else is at this console: wait until they leave")
	}
	return func() { f.Close() }, nil
}

// tailOf is how much is shown of what a console has said.
const tailOf = 2 << 10

// writeTail writes the last lines of a console's log.
func writeTail(w io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := f.Seek(max(0, size-tailOf), io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, after, ok := bytes.Cut(text, []byte("\n")); ok && size > tailOf {
		text = after
	}
	_, err = w.Write(text)
	return err
}
