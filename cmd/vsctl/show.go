package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/vswitch/vswitch/api"
)

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show everything at a glance, as a tree",
		Args:  words(),
		RunE: func(c *cobra.Command, _ []string) error {
			cl := a.client()
			defer cl.Close()
			o, err := cl.Show(c.Context())
			if err != nil {
				return err
			}
			return a.print(o, func(w io.Writer) error {
				for _, sw := range o.Switches {
					if err := writeTree(w, sw); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

const (
	screen   = 80 // columns of a terminal that the tree fits, if it can
	narrow   = 10 // columns that are left of what is shortened
	attached = 2  // columns of the tree that may be shortened
	vlans    = 3
)

// loopWords says where a loop is, since when, and by what it shows.
func loopWords(l *api.Loop) string {
	where, sign := "between "+l.Ports[0]+" and "+l.Ports[1], "a station moves back and forth"
	if l.Probed {
		sign = "what leaves by one comes back by the other"
	}
	if l.Ports[0] == l.Ports[1] {
		where, sign = "at "+l.Ports[0], "what leaves there comes back"
	}
	if l.Cut {
		sign = "cut by loop protection"
	}
	return fmt.Sprintf("%s in VLAN %d since %s: %s", where, l.VLAN, l.Since.Local().Format(time.TimeOnly), sign)
}

// writeTree writes a switch and a line for each of its ports; of a lost one, a
// second that says why.
func writeTree(w io.Writer, sw api.SwitchOverview) error {
	fmt.Fprintf(w, "%s: %s, %s, ageing %s\n", sw.Name, plural(sw.PortCount, "port", "ports"), plural(sw.FDB.Dynamic, "station", "stations"), ageing(sw.AgeingSeconds))
	if len(sw.Ports) == 0 {
		return nil
	}
	for _, l := range sw.Loops {
		fmt.Fprintf(w, "│   LOOP %s\n", loopWords(&l))
	}
	rows := [][]string{{"PORT", "STATE", "ATTACHED", "VLAN", "RX", "TX", "DROPS", "MACS"}}
	for i := range sw.Ports {
		p := &sw.Ports[i]
		n := p.Counters
		rows = append(rows, []string{p.Name, p.State, attachedBriefly(&p.Port), vlanBriefly(&p.VLAN),
			brief(n.RxFrames), brief(n.TxFrames), brief(total(n.Drops)), strconv.Itoa(p.Stations)})
	}
	fit(rows)
	for column := 4; column < len(rows[0]); column++ {
		alignRight(rows, column)
	}
	var lines strings.Builder
	t := table{header: rows[0], rows: rows[1:]}
	if err := t.write(&lines); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(lines.String(), "\n"), "\n") {
		branch, beside := "├── ", "│   "
		switch i {
		case 0:
			branch = "│   "
		case len(sw.Ports):
			branch, beside = "└── ", "    "
		}
		fmt.Fprintln(w, branch+line)
		if i > 0 && sw.Ports[i-1].Reason != "" {
			fmt.Fprintf(w, "%s    %s\n", beside, sw.Ports[i-1].Reason)
		}
	}
	return nil
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// fit shortens what hangs on the ports, and their VLANs, until the rows fit a
// screen.
func fit(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	over := 4 - 2 - screen // a branch, and no space behind the last column
	for _, width := range widths {
		over += width + 2
	}
	for ; over > 0; over-- {
		wider := attached
		if widths[vlans] > widths[attached] {
			wider = vlans
		}
		if widths[wider] <= narrow {
			return
		}
		widths[wider]--
		for _, r := range rows {
			r[wider] = shorten(r[wider], widths[wider])
		}
	}
}

// attachedBriefly is Port.Where in fewer characters: "veth web/eth0".
func attachedBriefly(p *api.Port) string {
	far := cmp.Or(p.IfName, p.Device)
	switch p.Kind {
	case api.KindPatch:
		return "patch " + p.Peer
	case api.KindDev, api.KindVM:
		return p.Kind + " " + p.Device
	}
	place := p.Netns + p.Container
	if place != "" && far != "" { // it may have had none yet
		place += "/"
	}
	return strings.TrimRight(p.Kind+" "+place+far, " ")
}

// vlanBriefly is VLAN.String in fewer characters: "trunk 10,20-30 native 1".
func vlanBriefly(v *api.VLAN) string {
	switch v.Mode {
	case api.ModeAccess:
		return fmt.Sprintf("access %d", v.Access)
	case api.ModeTunnel:
		if v.CVLANs.IsAll() {
			return fmt.Sprintf("tunnel %d", v.Tunnel)
		}
		return fmt.Sprintf("tunnel %d C %s", v.Tunnel, v.CVLANs)
	case api.ModeTrunk:
		return "trunk " + v.Trunk.String()
	}
	return fmt.Sprintf("trunk %s native %d", v.Trunk, v.Native)
}
