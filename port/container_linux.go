package port

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vswitch/vswitch/internal/netns"
)

// engines are the programs that know containers; the first that knows a name
// has it.
var engines = []string{"podman", "docker"}

// containers asks container engines, through their own commands, where
// containers live, and listens to them for starts while there is a port that
// could come back.
type containers struct {
	post func(...Key)
	log  *slog.Logger

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu        sync.Mutex
	held      map[string]int       // ports in a container, by the word given for it
	missed    map[string]miss      // containers that were asked for and not there
	listening map[string]time.Time // engines that are listened to, and since when
}

// miss remembers why a container was not to be had.
type miss struct {
	err  error // nil: worth asking again
	at   time.Time
	told time.Time // when the engine last said that it started
}

const (
	engineTimeout = 8 * time.Second        // for one question to the engines: whoever asks with vsctl waits 10 s
	hangUp        = 500 * time.Millisecond // for what an engine has started to let go of its output, once it is killed
	relisten      = 5 * time.Second        // after an engine hung up, the first time
	missFor       = 2 * time.Second        // how long a miss answers for those who only try again
	forgetMiss    = time.Minute            // when nobody tried again for so long
)

func newContainers(post func(...Key), log *slog.Logger) *containers {
	c := &containers{
		post: post, log: log,
		held:      map[string]int{},
		missed:    map[string]miss{},
		listening: map[string]time.Time{},
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	return c
}

// close ends the programs that were started, and waits for them.
func (c *containers) close() {
	c.stop()
	c.wg.Wait()
}

type again struct{}

// Again marks the context of an [Host.Open] that nobody waits for: a lost port
// that tries to come back. It may be answered from what was found a moment
// ago, where asking is expensive.
func Again(ctx context.Context) context.Context { return context.WithValue(ctx, again{}, true) }

var containerName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// locate finds the namespace of a running container.
func (c *containers) locate(ctx context.Context, name string, self netns.ID) (*Place, error) {
	if !containerName.MatchString(name) {
		return nil, errorf(Invalid, "%q cannot name a container: use its name or ID", name)
	}
	if ctx.Value(again{}) != nil {
		if err := c.missedLately(name); err != nil {
			return nil, err
		}
	}
	asked := time.Now()
	pid, engine, err := c.inspect(ctx, name)
	if err != nil {
		c.miss(name, err, asked)
		return nil, err
	}
	ref := "pid:" + strconv.Itoa(pid)
	ns, err := netns.Open(ref)
	if err != nil {
		err = errorf(NotFound, "container %s ended just now: start it with: %s start %s", name, engine, name)
		c.miss(name, err, asked)
		return nil, err
	}
	if ns.ID() == self {
		ns.Close()
		return nil, errorf(Refused, "container %s shares the host's network: run it with a network of its own, such as --network none", name)
	}
	path, _ := netns.Path(ref)
	return &Place{place{
		path: path, id: ns.ID(), name: name, pid: pid,
		what: "container " + name,
		lost: "container " + name + " stopped",
	}, ns}, nil
}

// inspect returns the process of a running container, and the engine that
// knows it.
func (c *containers) inspect(ctx context.Context, name string) (pid int, engine string, err error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	var trouble []string
	found := false
	for _, engine := range engines {
		program, err := exec.LookPath(engine)
		if err != nil {
			continue
		}
		found = true
		out, err := command(ctx, program, "container", "inspect", "--format", "{{.State.Pid}}", name).Output()
		switch {
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return 0, "", errorf(Failed, "%s did not say within %v where container %s is: see why %s container inspect %s takes so long", engine, engineTimeout, name, engine, name)
		case ctx.Err() != nil:
			return 0, "", errorf(Failed, "asking %s for container %s: %w", engine, name, ctx.Err())
		case err != nil:
			var exit *exec.ExitError
			said := err.Error()
			if errors.As(err, &exit) && len(exit.Stderr) > 0 {
				said = strings.TrimSpace(string(exit.Stderr))
			}
			if !strings.Contains(strings.ToLower(said), "no such container") {
				trouble = append(trouble, engine+" says: "+said)
			}
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
		if err != nil || pid < 0 {
			return 0, "", errorf(Failed, "%s says of container %s that its process is %q", engine, name, out)
		}
		if pid == 0 {
			return 0, "", errorf(NotFound, "container %s is not running: start it with: %s start %s", name, engine, name)
		}
		return pid, engine, nil
	}
	switch {
	case !found:
		return 0, "", errorf(NotFound, "container %s: neither podman nor docker is installed here; pid:N of --netns finds the namespace of any process", name)
	case len(trouble) > 0:
		return 0, "", errorf(NotFound, "there is no container %s that could be found (%s)", name, strings.Join(trouble, "; "))
	}
	return 0, "", errorf(NotFound, "there is no container %s: podman ps -a and docker ps -a show those that are there", name)
}

// command makes a command of an engine that is killed with all that it has
// started when ctx ends: an engine may be a script, and what that runs would
// keep its output open.
func command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = hangUp
	return cmd
}

func (c *containers) missedLately(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok := c.missed[name]; ok && time.Since(m.at) < missFor {
		return m.err
	}
	return nil
}

// miss notes why a container was not to be had when it was asked for. A start
// that was told of since then may be what the engine did not know yet.
func (c *containers) miss(name string, err error, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := c.missed[name].told
	if told.After(asked) {
		err = nil
	}
	c.missed[name] = miss{err, time.Now(), told}
	c.listenLocked()
}

// hold listens for starts of a container with a port in it, until it is let go.
func (c *containers) hold(name string) (letGo func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.missed, name)
	c.held[name]++
	c.listenLocked()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.held[name]--; c.held[name] == 0 {
			delete(c.held, name)
		}
		// The port may be about to come back.
		c.missed[name] = miss{at: time.Now()}
	}
}

// concernLocked reports whether anybody could come back.
func (c *containers) concernLocked() bool {
	for name, m := range c.missed {
		if time.Since(m.at) > forgetMiss {
			delete(c.missed, name)
		}
	}
	return len(c.held)+len(c.missed) > 0
}

// listenLocked makes sure that every engine is listened to.
func (c *containers) listenLocked() {
	for _, engine := range engines {
		if _, ok := c.listening[engine]; ok || c.ctx.Err() != nil {
			continue
		}
		program, err := exec.LookPath(engine)
		if err != nil {
			continue
		}
		c.listening[engine] = time.Now()
		c.wg.Go(func() { c.listen(engine, program) })
	}
}

// listen hears an engine's events as long as they concern anybody.
func (c *containers) listen(engine, program string) {
	pause := relisten
	for {
		ctx, cancel := context.WithCancel(c.ctx)
		began := time.Now()
		c.wg.Go(func() { c.unconcern(ctx, cancel) })
		err := c.stream(ctx, engine, program)
		c.log.Debug("container events ended", "engine", engine, "err", err)
		cancel()
		if time.Since(began) > relisten {
			pause = relisten
		} else {
			pause = min(2*pause, forgetMiss) // docker without its daemon, say
		}
		wait := time.NewTimer(pause)
		select {
		case <-c.ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
		c.mu.Lock()
		if c.ctx.Err() != nil || !c.concernLocked() {
			delete(c.listening, engine)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// unconcern cancels a stream of events once they concern nobody.
func (c *containers) unconcern(ctx context.Context, cancel func()) {
	tick := time.NewTicker(forgetMiss / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.mu.Lock()
			concern := c.concernLocked()
			c.mu.Unlock()
			if !concern {
				cancel()
			}
		}
	}
}

// stream runs an engine's command that tells of starts until it ends.
func (c *containers) stream(ctx context.Context, engine, program string) error {
	format := "{{json .}}"
	if engine == "podman" {
		format = "json"
	}
	// A little of the past makes up for the time that the command takes to
	// listen; hearing of a start twice does no harm.
	cmd := command(ctx, program, "events", "--since", "5s",
		"--filter", "type=container", "--filter", "event=start", "--format", format)
	// Should we be killed, so is the command: when the thread ends that
	// started it, which is this goroutine's own.
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.postAll() // what started before was told to nobody
	c.read(out)
	return cmd.Wait()
}

// started is what podman (Name, ID) and docker (Actor) say of a start.
type started struct {
	ID    string
	Name  string
	Actor struct {
		ID         string
		Attributes struct {
			Name string `json:"name"`
		}
	}
}

func (c *containers) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s started
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			continue
		}
		if s.Name == "" {
			s.Name = s.Actor.Attributes.Name
		}
		if s.ID == "" {
			s.ID = s.Actor.ID
		}
		c.postIf(func(given string) bool {
			return given == s.Name || len(given) >= 4 && strings.HasPrefix(s.ID, given)
		})
	}
	io.Copy(io.Discard, r)
}

func (c *containers) postAll() { c.postIf(func(string) bool { return true }) }

// postIf posts the containers that anybody asked for and that match.
func (c *containers) postIf(match func(given string) bool) {
	c.mu.Lock()
	var keys []Key
	for given := range c.held {
		if match(given) {
			keys = append(keys, containerKey(given))
		}
	}
	for given, m := range c.missed {
		if match(given) {
			keys = append(keys, containerKey(given))
			c.missed[given] = miss{at: m.at, told: time.Now()}
		}
	}
	c.mu.Unlock()
	c.post(keys...)
}
