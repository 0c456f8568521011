package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Outcome is what became of a step of the lab's tests.
type Outcome struct {
	Step    string  `json:"step"`
	OK      bool    `json:"ok"`
	Reason  string  `json:"reason,omitempty"` // why it is not
	Seconds float64 `json:"seconds"`
}

// How long a step tries where it does not say so.
const (
	untilOK = 3 * time.Second
	aPing   = time.Second // an answer is waited for
)

// Test takes the steps of the lab's tests on the lab as it is up, in their order,
// to the end. What it has changed of links, it takes back. tell is called with
// each outcome.
func (m *Manager) Test(ctx context.Context, t *Topology, tell func(Outcome)) (err error) {
	m.useOf(t)
	var undo []func(context.Context) error
	known := make(map[*Cable]bool) // how it was at first
	defer func() {
		background, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i](background))
		}
	}()
	if err := m.awaitGuests(ctx, t); err != nil {
		return err
	}
	for i := range t.Tests {
		s := &t.Tests[i]
		for _, end := range s.links() {
			e, err := t.End(end)
			if err != nil {
				return err
			}
			if known[e.Cable] {
				continue
			}
			back, err := m.restorer(ctx, t, e)
			if err != nil {
				return err
			}
			undo = append(undo, back)
			known[e.Cable] = true
		}
		begin := time.Now()
		reason, err := m.take(ctx, t, s)
		if err != nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		tell(Outcome{Step: s.String(), OK: reason == "", Reason: reason, Seconds: time.Since(begin).Seconds()})
	}
	return nil
}

// bootTime is how long guests have to boot before the lab's tests begin.
const bootTime = 2 * time.Minute

// awaitGuests waits until all guests are ready that say so.
func (m *Manager) awaitGuests(ctx context.Context, t *Topology) error {
	for deadline := time.Now().Add(bootTime); ; {
		programs, err := Services(t.Name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(programs, func(s ServiceStatus) bool { return s.State == Boots })
		switch {
		case i < 0:
			m.tell(Progress{Done: 1, Of: 1})
			return nil
		case time.Now().After(deadline):
			return refused("the guest of %s is not ready after %v: see %s", programs[i].Node, bootTime, programs[i].Log)
		}
		m.tell(Progress{Kind: "guests", What: programs[i].Node + " boots"})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// links returns the ends of links that a step changes.
func (s *Step) links() []string {
	all := append(s.Down.Texts(), s.Up.Texts()...)
	if s.Impair != nil {
		all = append(all, s.Impair.Link)
	}
	return all
}

// String says the step in words.
func (s *Step) String() string {
	switch {
	case s.Ping != nil:
		return strings.TrimSpace(fmt.Sprintf("ping %s to %s %s", s.Ping.From, s.Ping.To, expectation(s.Ping.Expect)))
	case s.Exec != nil:
		first, _, more := strings.Cut(strings.TrimSpace(s.Exec.Command.String()), "\n")
		if more {
			first += " …"
		}
		return fmt.Sprintf("exec in %s: %s", s.Exec.Node, first)
	case s.Impair != nil:
		return "impair " + s.Impair.Link
	case len(s.Down) > 0:
		return "down " + strings.Join(s.Down.Texts(), ", ")
	}
	return "up " + strings.Join(s.Up.Texts(), ", ")
}

func expectation(word string) string {
	if word == ExpectFail {
		return "expecting that it fails"
	}
	return ""
}

// take takes one step. The reason says what is not as was expected.
func (m *Manager) take(ctx context.Context, t *Topology, s *Step) (reason string, err error) {
	switch {
	case s.Ping != nil:
		return s.Ping.take(ctx, t)
	case s.Exec != nil:
		return s.Exec.take(ctx, t)
	case s.Impair != nil:
		e, err := t.End(s.Impair.Link)
		if err != nil {
			return "", err
		}
		if s.Impair.Impair.Both != nil {
			return "", m.Impair(ctx, t, e, s.Impair.Impair.Both, true)
		}
		for _, p := range s.Impair.Impair.By {
			end, err := t.End(p.Key)
			if err == nil {
				err = m.Impair(ctx, t, end, p.Value, false)
			}
			if err != nil {
				return "", err
			}
		}
		return "", nil
	}
	for _, name := range s.links() {
		e, err := t.End(name)
		if err == nil {
			err = m.SetLink(ctx, t, e, len(s.Down) > 0)
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// until tries again until there is no reason to, or the time is over.
func until(ctx context.Context, within *Duration, otherwise time.Duration, try func() (reason string, err error)) (reason string, err error) {
	limit := otherwise
	if within != nil {
		limit = time.Duration(*within)
	}
	for deadline := time.Now().Add(limit); ; {
		reason, err = try()
		if reason == "" || err != nil || ctx.Err() != nil || time.Now().After(deadline) {
			return reason, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *PingStep) take(ctx context.Context, t *Topology) (reason string, err error) {
	from := t.Member(p.From)
	want := p.Expect != ExpectFail
	limit := untilOK
	if !want {
		limit = 0 // once
	}
	return until(ctx, p.Within, limit, func() (string, error) {
		r, err := t.Ping(ctx, from, p.To, aPing)
		switch {
		case err != nil:
			return "", err
		case r.Answered == want:
			return "", nil
		case r.Answered:
			return fmt.Sprintf("an answer came after %.2f ms", float64(r.Took.Microseconds())/1000), nil
		}
		return r.Reason, nil
	})
}

func (e *ExecStep) take(ctx context.Context, t *Topology) (reason string, err error) {
	want := 0
	if e.Exit != nil {
		want = *e.Exit
	}
	matches, err := regexp.Compile(e.Output)
	if err != nil {
		return "", err
	}
	if e.Within == nil {
		return e.once(ctx, t, want, matches)
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(*e.Within)) // one that goes on is over then, too
	defer cancel()
	var last string
	reason, err = until(limited, e.Within, 0, func() (string, error) {
		reason, err := e.once(limited, t, want, matches)
		if err == nil {
			last = reason
		}
		return reason, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return cmp.Or(last, fmt.Sprintf("the command has not ended after %v", time.Duration(*e.Within))), nil
	}
	return reason, err
}

// once runs the command once.
func (e *ExecStep) once(ctx context.Context, t *Topology, want int, matches *regexp.Regexp) (reason string, err error) {
	out, code, err := t.Member(e.Node).output(ctx, t, e.Command.Args)
	switch {
	case err != nil:
		return "", err
	case code != want:
		return fmt.Sprintf("exit %d, want %d: %s", code, want, strings.TrimSpace(out)), nil
	case !matches.MatchString(out):
		return fmt.Sprintf("the output does not match %q: %s", e.Output, strings.TrimSpace(out)), nil
	}
	return "", nil
}
