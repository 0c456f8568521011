package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/vswitch/vswitch/api"
)

// Version returns the daemon's version.
func (c *Client) Version(ctx context.Context) (v api.Version, err error) {
	return v, c.call(ctx, http.MethodGet, to("version"), nil, &v)
}

// Shutdown ends the daemon, which answers before it does.
func (c *Client) Shutdown(ctx context.Context, s api.Shutdown) error {
	return c.call(ctx, http.MethodPost, to("shutdown"), s, nil)
}

// Show returns everything at a glance.
func (c *Client) Show(ctx context.Context) (o api.Overview, err error) {
	return o, c.call(ctx, http.MethodGet, to("show"), nil, &o)
}

// Switches returns all switches, sorted by name.
func (c *Client) Switches(ctx context.Context) (s []api.Switch, err error) {
	return s, c.call(ctx, http.MethodGet, to("switches"), nil, &s)
}

// Switch returns one switch.
func (c *Client) Switch(ctx context.Context, name string) (s api.Switch, err error) {
	return s, c.call(ctx, http.MethodGet, to("switches", name), nil, &s)
}

// AddSwitch makes a switch.
func (c *Client) AddSwitch(ctx context.Context, spec api.SwitchSpec) (s api.Switch, err error) {
	return s, c.call(ctx, http.MethodPost, to("switches"), spec, &s)
}

// SetSwitch replaces the settings that spec names.
func (c *Client) SetSwitch(ctx context.Context, name string, spec api.SwitchSpec) (s api.Switch, err error) {
	return s, c.call(ctx, http.MethodPatch, to("switches", name), spec, &s)
}

// DeleteSwitch removes a switch and its ports.
func (c *Client) DeleteSwitch(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, to("switches", name), nil, nil)
}

// Ports returns the ports of a switch, or of all with "". They are sorted by
// Config returns the whole configuration as a document, in JSON.
func (c *Client) Config(ctx context.Context) (text []byte, err error) {
	var raw json.RawMessage
	err = c.call(ctx, http.MethodGet, to("config"), nil, &raw)
	return raw, err
}

// ConfigText returns the same in YAML.
func (c *Client) ConfigText(ctx context.Context) (string, error) {
	var t api.ConfigText
	err := c.call(ctx, http.MethodGet, to("config").with("format", "yaml"), nil, &t)
	return t.Text, err
}

// SetConfig puts a whole configuration in force, or with DryRun says what would be
// done.
func (c *Client) SetConfig(ctx context.Context, spec api.ConfigSpec) (r api.ConfigResult, err error) {
	return r, c.call(ctx, http.MethodPost, to("config"), spec, &r)
}

// Profiles returns all profiles, by name.
func (c *Client) Profiles(ctx context.Context) (p []api.Profile, err error) {
	return p, c.call(ctx, http.MethodGet, to("profiles"), nil, &p)
}

// Profile returns one profile.
func (c *Client) Profile(ctx context.Context, name string) (p api.Profile, err error) {
	return p, c.call(ctx, http.MethodGet, to("profiles", name), nil, &p)
}

// AddProfile makes a profile.
func (c *Client) AddProfile(ctx context.Context, spec api.ProfileSpec) (p api.Profile, err error) {
	return p, c.call(ctx, http.MethodPost, to("profiles"), spec, &p)
}

// SetProfile changes a profile, and the ports that refer to it.
func (c *Client) SetProfile(ctx context.Context, name string, spec api.ProfileSpec) (p api.Profile, err error) {
	return p, c.call(ctx, http.MethodPatch, to("profiles", name), spec, &p)
}

// DeleteProfile removes a profile that no port refers to.
func (c *Client) DeleteProfile(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, to("profiles", name), nil, nil)
}

// switch and name, p2 before p10.
func (c *Client) Ports(ctx context.Context, sw string) (p []api.Port, err error) {
	return p, c.call(ctx, http.MethodGet, to("ports").with("switch", sw), nil, &p)
}

// Port returns one port.
func (c *Client) Port(ctx context.Context, sw, name string) (p api.Port, err error) {
	return p, c.call(ctx, http.MethodGet, to("ports", sw, name), nil, &p)
}

// AddPort makes a port and returns it as it stands, in force.
func (c *Client) AddPort(ctx context.Context, spec api.PortSpec) (p api.Port, err error) {
	return p, c.call(ctx, http.MethodPost, to("ports"), spec, &p)
}

// SetPort replaces what change names and returns the port as it stands.
func (c *Client) SetPort(ctx context.Context, sw, name string, change api.PortChange) (p api.Port, err error) {
	return p, c.call(ctx, http.MethodPatch, to("ports", sw, name), change, &p)
}

// DeletePort removes a port and what was made for it.
func (c *Client) DeletePort(ctx context.Context, sw, name string) error {
	return c.call(ctx, http.MethodDelete, to("ports", sw, name), nil, nil)
}

// VLANs returns the VLANs of a switch, or of all with "", and their members.
func (c *Client) VLANs(ctx context.Context, sw string) (v map[string][]api.VLANMembers, err error) {
	return v, c.call(ctx, http.MethodGet, to("vlans").with("switch", sw), nil, &v)
}

// FDB returns the entries that q chooses, by switch, sorted by VLAN and MAC.
func (c *Client) FDB(ctx context.Context, q api.FDBQuery) (e map[string][]api.FDBEntry, err error) {
	path := to("fdb").with("switch", q.Switch).with("port", q.Port).with("mac", q.MAC).with("type", q.Type)
	if q.VLAN != 0 {
		path = path.with("vlan", strconv.Itoa(q.VLAN))
	}
	return e, c.call(ctx, http.MethodGet, path, nil, &e)
}

// AddFDB adds a static entry or a filter.
func (c *Client) AddFDB(ctx context.Context, spec api.FDBSpec) (e api.FDBEntry, err error) {
	return e, c.call(ctx, http.MethodPost, to("fdb"), spec, &e)
}

// DeleteFDB removes an entry of any type.
func (c *Client) DeleteFDB(ctx context.Context, sw string, vlan int, mac string) error {
	return c.call(ctx, http.MethodDelete, to("fdb", sw, strconv.Itoa(vlan), mac), nil, nil)
}

// FlushFDB removes dynamic entries and returns how many.
func (c *Client) FlushFDB(ctx context.Context, f api.FDBFlush) (int, error) {
	var done api.FDBFlushed
	err := c.call(ctx, http.MethodPost, to("fdb", "flush"), f, &done)
	return done.Flushed, err
}

// FDBStats returns what the FDB of a switch, or of all with "", holds and did.
func (c *Client) FDBStats(ctx context.Context, sw string) (s map[string]api.FDBStats, err error) {
	return s, c.call(ctx, http.MethodGet, to("fdb", "stats").with("switch", sw), nil, &s)
}

// Events returns what happens from now on, until ctx or the daemon ends: what is
// asked for after it has returned was not missed. The sequence can be gone
// through once, and its last pair may be an error. Who does not go through it
// ends ctx.
func (c *Client) Events(ctx context.Context) (iter.Seq2[api.Event, error], error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(c.timeout, func() { cancel(c.late()) })
	resp, err := c.send(ctx, http.MethodGet, to("events"), nil)
	if !late.Stop() || err != nil {
		if why := context.Cause(ctx); why != nil {
			err = why
		}
		cancel(err)
		return nil, err
	}
	return func(yield func(api.Event, error) bool) {
		defer cancel(nil)
		defer resp.Body.Close()
		for lines := json.NewDecoder(resp.Body); ; {
			var e api.Event
			err := lines.Decode(&e)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(api.Event{}, c.noAnswer(ctx, err))
				return
			case !yield(e, nil):
				return
			}
		}
	}, nil
}
