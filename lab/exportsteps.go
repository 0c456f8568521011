package lab

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
)

// yaml writes a step of the tests in one line.
func (s *Step) yaml() string {
	switch {
	case s.Ping != nil:
		words := []string{"from: " + quote(s.Ping.From), "to: " + quote(s.Ping.To)}
		if s.Ping.Expect != "" {
			words = append(words, "expect: "+s.Ping.Expect)
		}
		return "ping: {" + strings.Join(append(words, withinYAML(s.Ping.Within)...), ", ") + "}"
	case s.Exec != nil:
		words := []string{"node: " + quote(s.Exec.Node), "command: " + s.Exec.Command.yaml()}
		if s.Exec.Exit != nil {
			words = append(words, "exit: "+strconv.Itoa(*s.Exec.Exit))
		}
		if s.Exec.Output != "" {
			words = append(words, "output: "+strconv.Quote(s.Exec.Output))
		}
		return "exec: {" + strings.Join(append(words, withinYAML(s.Exec.Within)...), ", ") + "}"
	case s.Impair != nil:
		return "impair: {link: " + strconv.Quote(s.Impair.Link) + ", impair: " + s.Impair.Impair.yaml() + "}"
	case len(s.Down) > 0:
		return "down: [" + strings.Join(quoteEach(s.Down.Texts()), ", ") + "]"
	}
	return "up: [" + strings.Join(quoteEach(s.Up.Texts()), ", ") + "]"
}

func withinYAML(d *Duration) []string {
	if d == nil {
		return nil
	}
	return []string{"within: " + time.Duration(*d).String()}
}

func (i *Impair) yaml() string {
	if i.Both != nil {
		return specYAML(i.Both)
	}
	var all []string
	for _, p := range i.By {
		all = append(all, fmt.Sprintf("%q: %s", p.Key, specYAML(p.Value)))
	}
	return "{" + strings.Join(all, ", ") + "}"
}

// specYAML writes what is asked for; of nothing, that it ends.
func specYAML(spec *api.ImpairmentSpec) string {
	var asked api.Impairment
	if spec == nil || convert(spec, &asked) != nil || asked == (api.Impairment{}) {
		return "none"
	}
	return "{" + impairmentYAML(&asked) + "}"
}
