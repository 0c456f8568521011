package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Connection is one connection to a daemon's socket: what a program has that
// speaks the API itself. It is used by one goroutine at a time.
type Connection struct {
	d    *Daemon
	http http.Client
}

// Connect returns a connection, which is made by the first request.
func (d *Daemon) Connect() *Connection {
	c := &Connection{d: d}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
		},
		MaxConnsPerHost: 1,
	}
	d.h.onClose(c.http.CloseIdleConnections)
	return c
}

// Do makes one request, such as "POST /v1/ports". body is sent as JSON unless
// nil; the answer is read into answer unless nil. An answer that is none of
// 200 to 299 is an error.
func (c *Connection) Do(request string, body, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*Patience)
	defer cancel()
	r, err := c.start(ctx, request, body)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(all, answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", request, err)
	}
	return nil
}

// MustDo is [Connection.Do] that must succeed.
func (c *Connection) MustDo(request string, body, answer any) {
	c.d.h.t.Helper()
	if err := c.Do(request, body, answer); err != nil {
		c.d.h.t.Fatal(err)
	}
}

func (c *Connection) start(ctx context.Context, request string, body any) (*http.Response, error) {
	method, path, _ := strings.Cut(request, " ")
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", request, err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://vswitchd"+path, in)
	if err != nil {
		return nil, err
	}
	r, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", request, err)
	}
	if r.StatusCode/100 != 2 {
		defer r.Body.Close()
		text, _ := io.ReadAll(r.Body) // what came of it is all that can be told
		return nil, fmt.Errorf("%s: %s: %s", request, r.Status, text)
	}
	return r, nil
}

// Event is one line of GET /v1/events.
type Event struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind"`
	Switch string    `json:"switch"`
	Port   string    `json:"port"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
}

// Events hears of all that happens on a daemon's switches, and when: more
// exactly than asking again and again could tell.
type Events struct {
	h     *Host
	close func()

	mu    sync.Mutex
	heard []Event
	more  chan struct{} // closed and renewed at each event
	err   error         // why nothing more comes
}

// Events begins to listen. What happens after it has returned is heard.
func (d *Daemon) Events() *Events {
	d.h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := d.Connect().start(ctx, "GET /v1/events", nil)
	if err != nil {
		cancel()
		d.h.t.Fatal(err)
	}
	ev := &Events{h: d.h, more: make(chan struct{})}
	done := make(chan struct{})
	go func() { // until the daemon or the host ends
		defer close(done)
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			var e Event
			err := json.Unmarshal(lines.Bytes(), &e)
			ev.put(e, err)
		}
		ev.put(Event{}, fmt.Errorf("the stream of events has ended: %v", lines.Err()))
	}()
	ev.close = func() {
		cancel()
		r.Body.Close()
		<-done
	}
	d.h.onClose(ev.close)
	return ev
}

// Close ends the stream; twice does no harm.
func (ev *Events) Close() { ev.close() }

func (ev *Events) put(e Event, err error) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if err != nil {
		ev.err = err
	} else {
		ev.heard = append(ev.heard, e)
	}
	close(ev.more)
	ev.more = make(chan struct{})
}

// Heard returns what was heard and not awaited.
func (ev *Events) Heard() []Event {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	return append([]Event(nil), ev.heard...)
}

// Await waits for an event that matches, and forgets it and all before it.
func (ev *Events) Await(what string, match func(Event) bool) Event {
	ev.h.t.Helper()
	deadline := time.After(Patience)
	for {
		ev.mu.Lock()
		heard, more, err := ev.heard, ev.more, ev.err
		if i := slices.IndexFunc(heard, match); i >= 0 {
			ev.heard = heard[i+1:]
			ev.mu.Unlock()
			return heard[i]
		}
		ev.mu.Unlock()
		if err != nil {
			ev.h.t.Fatalf("waiting for the event that %s: %v", what, err)
		}
		select {
		case <-more:
		case <-deadline:
			ev.h.t.Fatalf("no event in %v that %s; there were %+v", Patience, what, heard)
		}
	}
}

// AwaitPort waits until a port of sw0 comes to a state.
func (ev *Events) AwaitPort(port, state string) Event {
	ev.h.t.Helper()
	return ev.Await(fmt.Sprintf("port %s is %s", port, state), func(e Event) bool {
		return e.Kind == "port-state" && e.Port == port && e.State == state
	})
}

// AwaitAny waits until some port comes to a state.
func (ev *Events) AwaitAny(state string) Event {
	ev.h.t.Helper()
	return ev.Await("a port is "+state, func(e Event) bool { return e.Kind == "port-state" && e.State == state })
}
