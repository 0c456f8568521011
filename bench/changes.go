package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// changesPerSecond is how often settings change where they do.
const changesPerSecond = 1000

// settings are what changes, of ports a, b and c, and leaves frames between a
// and b alone.
var settings = []struct{ port, body string }{
	{"a", `{"options":{"isolated":true}}`},
	{"b", `{"options":{"hairpin":true}}`},
	{"c", `{"vlan":{"mode":"access","access":20}}`},
	{"b", `{"description":"here or there"}`},
	{"a", `{"options":{"no_mcast_flood":true,"max_macs":50}}`},
	{"c", `{"vlan":{"mode":"trunk","trunk":["1-100"]}}`},
	{"a", `{"options":{"isolated":false}}`},
	{"b", `{"options":{"hairpin":false}}`},
	{"a", `{"options":{"no_mcast_flood":false,"max_macs":0}}`},
}

// besideChanges measures a TCP stream from a to b while settings of ports
// change so often a second, all over one connection.
func besideChanges(rate int) func(context.Context, *plan) ([]reading, error) {
	return func(ctx context.Context, p *plan) (r []reading, err error) {
		l, err := newLink(ctx)
		if err != nil {
			return nil, err
		}
		defer l.close()
		if err := (ours{programs: p.own, a: "veth", b: "veth"}).join(ctx, l); err != nil {
			return nil, err
		}
		d := daemon{client: p.own.client, socket: l.daemonSocket()}
		if err := d.ctl(ctx, "port add c --tap"); err != nil {
			return nil, err
		}
		if rate == 0 {
			return tcp(ctx, l, p.length, streamBeside)
		}
		c, err := newChanger(d.socket)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close()
		changing, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, 1)
		begin := time.Now()
		go func() { ended <- c.change(changing, rate) }()
		r, err = tcp(ctx, l, p.length, streamBeside)
		stop()
		if err := errors.Join(err, <-ended); err != nil {
			return nil, err
		}
		if made := float64(c.made) / time.Since(begin).Seconds(); made < 0.9*float64(rate) {
			return nil, fmt.Errorf("the daemon made %.0f changes/s, and not %d", made, rate)
		}
		return r, nil
	}
}

// changer changes settings over one connection, which is HTTP's plainest: what
// the asking takes from the processors is no fault of the switch's.
type changer struct {
	conn    net.Conn
	answers *bufio.Reader
	made    int
}

func newChanger(socket string) (*changer, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return &changer{conn: conn, answers: bufio.NewReader(conn)}, nil
}

// change makes changes at a rate until ctx ends.
func (c *changer) change(ctx context.Context, rate int) error {
	for begin := time.Now(); ctx.Err() == nil; {
		if due := int(time.Since(begin).Seconds() * float64(rate)); due <= c.made {
			time.Sleep(time.Second / time.Duration(2*rate))
			continue
		}
		if err := c.one(); err != nil {
			return fmt.Errorf("change a setting: %w", err)
		}
		c.made++
	}
	return nil
}

// one makes the next change, and waits for the answer.
func (c *changer) one() error {
	s := settings[c.made%len(settings)]
	_, err := fmt.Fprintf(c.conn, "PATCH /v1/ports/sw0/%s HTTP/1.1\r\nHost: vswitchd\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.port, len(s.body), s.body)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.answers, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	return err
}
