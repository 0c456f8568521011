package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/internal/document"
)

// Config says with which daemon labs are built, and who is told of it.
type Config struct {
	Client *client.Client
	// Daemon is the program that is started where no daemon answers; "": none.
	Daemon string
	// Keeper is the program, with its first arguments, that is started for a
	// lab with services or virtual machines, and gets the lab's name. It calls
	// [Keep]. Without one, this process does.
	Keeper []string
	// Guest is the program that guests of virtual machines get where there is
	// no Keeper: see [Keep].
	Guest string
	// Progress is told of each thing before it is done; nil: nobody is.
	Progress func(Progress)
}

// Progress is what is being done.
type Progress struct {
	Kind       string // "ports"
	What       string // "add port campus.sw1/p1"
	Done, Of   int    // of all
	TakingBack bool
}

// Manager builds labs and takes them down.
type Manager struct {
	cfg    Config
	client *client.Client
}

// use has the daemon asked that a lab is noted with.
func (m *Manager) use(s *state) {
	if s.Socket != m.client.Socket() {
		m.client = client.New(client.Config{Socket: s.Socket, Timeout: time.Minute})
	}
}

// useOf has the daemon asked that a topology's lab is noted with.
func (m *Manager) useOf(t *Topology) {
	if s, err := loadState(t.Name); err == nil {
		m.use(s)
	}
}

// NewManager returns a Manager.
func NewManager(cfg Config) *Manager { return &Manager{cfg: cfg, client: cfg.Client} }

// ErrUpAlready is returned by [Manager.Up] for a lab that is up just so.
var ErrUpAlready = errors.New("is up already")

// Up builds a lab that is not up: whole, or not at all.
func (m *Manager) Up(ctx context.Context, t *Topology, file string, text []byte) error {
	if err := t.Buildable(); err != nil {
		return err
	}
	unlock, err := lock(t.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if s, err := loadState(t.Name); err == nil {
		m.use(s)
		return m.upAlready(ctx, s, t, string(text))
	}
	if err := m.ensureDaemon(ctx); err != nil {
		return errors.Join(err, os.RemoveAll(folder(t.Name)))
	}
	err = m.upNew(ctx, t, file, text)
	if err != nil {
		background, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		left := os.RemoveAll(folder(t.Name))
		_, ended := m.endDaemon(background)
		left = errors.Join(left, ended)
		if ctx.Err() != nil && left == nil {
			return fmt.Errorf("interrupted, and what was made is taken back: %w", ctx.Err())
		}
		err = errors.Join(err, left)
	}
	return err
}

// upAlready says how a lab that is noted differs from what is asked for. What is
// missing of one that is noted just so, as after its daemon was killed, is made.
func (m *Manager) upAlready(ctx context.Context, s *state, t *Topology, text string) error {
	if err := m.ensureDaemon(ctx); err != nil {
		return err
	}
	w, err := m.look(ctx, t.Name)
	if err != nil {
		return err
	}
	another, err := m.look(ctx, t.Name) // a plan takes from it what it removes
	if err != nil {
		return err
	}
	left := m.actions(w, t, nil)
	if len(left) == 0 {
		return ErrUpAlready
	}
	if text == s.Text {
		again := *s
		return m.do(ctx, m.actions(another, t, m.noting(t, &again, s)))
	}
	differences := fmt.Sprintf("%d differences, such as", len(left))
	if len(left) == 1 {
		differences = "one difference"
	}
	return refused("the lab %s is up since %s, but not as the file has it (%s: %s): `vsctl lab apply` changes it, and `vsctl lab down %s` takes it down",
		t.Name, s.Since.Format(time.DateTime), differences, left[0].what, t.Name)
}

// bereft reports whether all that is left of a lab are switches on whose ports
// nothing hangs any more, as after the machine was started again.
func (w *world) bereft() bool {
	lost := false
	for _, p := range w.ports {
		if p.State != api.StateLost && p.Kind != api.KindPatch {
			return false
		}
		lost = lost || p.State == api.StateLost
	}
	return lost
}

func (m *Manager) upNew(ctx context.Context, t *Topology, file string, text []byte) error {
	w, err := m.look(ctx, t.Name)
	if err != nil {
		return err
	}
	if len(w.nodes) == 0 && w.bereft() {
		_, err := m.removeSwitches(ctx, t.Name)
		if err == nil {
			w, err = m.look(ctx, t.Name)
		}
		if err != nil {
			return err
		}
	}
	if len(w.switches)+len(w.nodes) > 0 {
		return refused("something of an earlier lab %s is left: `vsctl lab down %s` takes it away", t.Name, t.Name)
	}
	s := state{Name: t.Name, File: file, Text: string(text), Socket: m.client.Socket(), Since: time.Now().Truncate(time.Second)}
	return m.do(ctx, m.actions(w, t, m.noting(t, &s, nil)))
}

// Apply makes a lab that is up as the topology has it, and returns what it has
// done for that, or with dryRun would do. Of what fails, what was new is taken
// back.
func (m *Manager) Apply(ctx context.Context, t *Topology, file string, text []byte, dryRun bool) (changes []string, err error) {
	if err := t.Buildable(); err != nil {
		return nil, err
	}
	unlock, err := lock(t.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := loadState(t.Name)
	if err != nil {
		os.Remove(folder(t.Name)) // as empty as lock has made it
		return nil, refused("no lab %s is up: `vsctl lab up` builds it", t.Name)
	}
	m.use(s)
	if !dryRun {
		if err := m.ensureDaemon(ctx); err != nil {
			return nil, err
		}
	}
	w, err := m.look(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	next := *s
	next.File, next.Text = file, string(text)
	all := m.actions(w, t, m.noting(t, &next, s))
	for _, a := range all {
		if !a.quiet {
			changes = append(changes, a.what)
		}
	}
	if dryRun {
		return changes, nil
	}
	if err := m.do(ctx, all); err != nil {
		between := "the lab is between what it was and the file: what was new is taken back, and `vsctl lab apply` of either file goes on from there"
		if ctx.Err() != nil {
			return changes, fmt.Errorf("interrupted; %s: %w", between, ctx.Err())
		}
		return changes, fmt.Errorf("%w; %s", err, between)
	}
	return changes, nil
}

// actions are all that has to be done so that things stand as the topology wants.
func (m *Manager) actions(w *world, t *Topology, noting []action) []action {
	anew := w.anew(t)
	before, after := m.keeping(w, t, anew)
	return slices.Concat(before, m.plan(w, t, anew), noting, after)
}

// do does all, or takes back what it has done.
func (m *Manager) do(ctx context.Context, all []action) error {
	for i, a := range all {
		err := ctx.Err()
		if err == nil {
			m.tell(Progress{Kind: a.kind, What: a.what, Done: i, Of: len(all)})
			err = a.do(ctx)
		}
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err() // what fails then fails for that
			}
			return errors.Join(err, m.takeBack(ctx, all[:i+1]))
		}
	}
	m.tell(Progress{Done: len(all), Of: len(all)})
	return nil
}

// takeBack takes back what was done, the last first, whoever has given up
// meanwhile. What was not quite done is taken back as well.
func (m *Manager) takeBack(ctx context.Context, done []action) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	gone := false // the daemon, and what it had
	for i := len(done) - 1; i >= 0; i-- {
		if done[i].undo == nil {
			continue
		}
		m.tell(Progress{Kind: done[i].kind, What: done[i].what, Done: i, Of: len(done), TakingBack: true})
		e := done[i].undo(ctx)
		if noDaemon(e) {
			if !gone {
				err = errors.Join(err, fmt.Errorf("take back: %w", e))
			}
			gone = true
			continue
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("take back: %s: %w", done[i].what, e))
		}
	}
	m.tell(Progress{Done: len(done), Of: len(done)})
	return err
}

func (m *Manager) tell(p Progress) {
	if m.cfg.Progress != nil {
		m.cfg.Progress(p)
	}
}

// Downed says what a Down has found.
type Downed struct {
	Found bool // that anything was there
	// Asleep is the socket of a daemon of somebody else that does not run: it has
	// the lab's switches when it runs again, and another Down removes them then.
	Asleep string
	// GoesOn says that the daemon that labs have started has something that is no
	// lab's, and was not ended with the last lab.
	GoesOn bool
}

// Down takes a lab away, with all that bears its name or mark, whatever became of
// who built it. One that is not there is fine.
func (m *Manager) Down(ctx context.Context, lab string) (d Downed, err error) {
	if !labForm.MatchString(lab) {
		return d, refused("%q cannot name a lab: %s", lab, labRule)
	}
	unlock, err := lock(lab)
	if err != nil {
		return d, err
	}
	defer unlock()
	s, err := loadState(lab)
	if d.Found = err == nil; d.Found {
		m.use(s)
	}
	nodes, err := namespaces(lab)
	if err != nil {
		return d, err
	}
	errs := []error{m.stopKeeper(ctx, lab), endProcesses(ctx, lab, nodes, true)}
	switches, err := m.removeSwitches(ctx, lab)
	if _, own := readOurs(m.client.Socket()); noDaemon(err) && d.Found && !own {
		d.Asleep = m.client.Socket()
	}
	if !noDaemon(err) {
		errs = append(errs, err)
	}
	for i, node := range nodes {
		m.tell(Progress{Kind: "namespaces", What: "remove node " + node, Done: i, Of: len(nodes)})
		errs = append(errs, removeHosts(lab+"-"+node), removeNamespace(lab, node))
	}
	if s != nil { // of namespaces that somebody has removed, too
		for node := range s.Namespaces {
			errs = append(errs, removeHosts(lab+"-"+node))
		}
	}
	errs = append(errs, os.RemoveAll(folder(lab)))
	goesOn, err := m.endDaemon(ctx)
	d.GoesOn = goesOn
	errs = append(errs, err)
	m.tell(Progress{Done: 1, Of: 1})
	d.Found = d.Found || len(nodes) > 0 || switches > 0
	return d, errors.Join(errs...)
}

// removeSwitches removes the lab's switches with all their ports.
func (m *Manager) removeSwitches(ctx context.Context, lab string) (n int, err error) {
	all, err := m.client.Switches(ctx)
	if err != nil {
		return 0, err
	}
	for _, sw := range all {
		if len(sw.Name) > len(lab) && sw.Name[:len(lab)+1] == lab+"." {
			m.tell(Progress{Kind: "switches", What: "remove switch " + sw.Name})
			n++
			err = errors.Join(err, unlessGone(m.client.DeleteSwitch(ctx, sw.Name)))
		}
	}
	return n, err
}

// removeNode ends what runs in a node and removes its namespace.
func (m *Manager) removeNode(ctx context.Context, lab, node string) error {
	if !isOf(lab, node) {
		return nil // somebody else's
	}
	return errors.Join(endProcesses(ctx, lab, []string{node}, false), removeHosts(lab+"-"+node), removeNamespace(lab, node), removeIfThere(sysctlsPath(lab, node)))
}

// Status is a lab that is up.
type Status struct {
	Name    string    `json:"name"`
	File    string    `json:"file"`
	Since   time.Time `json:"since"`
	Socket  string    `json:"socket"`
	Nodes   int       `json:"nodes"`
	Links   int       `json:"links"`
	Problem string    `json:"problem,omitempty"`
}

// List returns the labs that are up, by name.
func List() (all []Status, err error) {
	names, err := noted()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	all = []Status{}
	for _, name := range names {
		s, err := loadState(name)
		if errors.Is(err, fs.ErrNotExist) {
			all = append(all, Status{Name: name, Problem: "was not built to its end: vsctl lab down " + name})
			continue
		}
		if err != nil {
			all = append(all, Status{Name: name, Problem: err.Error()})
			continue
		}
		st := Status{Name: name, File: s.File, Since: s.Since, Socket: s.Socket}
		if t, err := Read(s.File, []byte(s.Text)); err != nil {
			st.Problem = err.Error()
		} else {
			st.Nodes, st.Links = len(t.Members), len(t.Cables)
		}
		all = append(all, st)
	}
	return all, nil
}

// Running returns the topology of a lab that is up.
func Running(lab string) (*Topology, error) {
	s, err := loadState(lab)
	if err != nil {
		return nil, noLab(lab)
	}
	return Read(s.File, []byte(s.Text))
}

// noLab says that a lab is not up, and which may have been meant.
func noLab(lab string) error {
	names, _ := noted() // of which there may be none
	if slices.Contains(names, lab) {
		return api.Errorf(api.NotFound, "the lab %s was not built to its end: `vsctl lab down %s` takes away what there is of it", lab, lab)
	}
	hint := cmp.Or(document.DidYouMean(lab, names), ": `vsctl lab list` shows those that are")
	return api.Errorf(api.NotFound, "no lab %q is up%s", lab, hint)
}
