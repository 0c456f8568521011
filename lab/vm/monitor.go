package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
	"time"
)

// Monitor is a conversation with QEMU, in its protocol QMP
// (docs/interop/qmp-spec.rst of QEMU).
type Monitor struct {
	conn    net.Conn
	answers *json.Decoder
}

// Dial begins one with a machine that starts: it waits until QEMU listens, which
// it does once it has understood its command line.
func Dial(ctx context.Context, files Files) (*Monitor, error) {
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", files.Monitor)
		if err == nil {
			m := &Monitor{conn, json.NewDecoder(conn)}
			if err := m.begin(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return m, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// begin takes the greeting and agrees on what the protocol can.
func (m *Monitor) begin(ctx context.Context) error {
	defer m.until(ctx)()
	var greeting map[string]any
	if err := m.answers.Decode(&greeting); err != nil {
		return fmt.Errorf("QEMU's greeting: %w", err)
	}
	return m.execute(ctx, "qmp_capabilities", nil)
}

// until has what waits for QEMU end with ctx.
func (m *Monitor) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Unix(1, 0)) })
}

// execute has QEMU do something. What it tells meanwhile of itself is left out.
func (m *Monitor) execute(ctx context.Context, command string, arguments any) error {
	defer m.until(ctx)()
	request := struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments}
	if err := json.NewEncoder(m.conn).Encode(request); err != nil {
		return fmt.Errorf("QEMU: %s: %w", command, err)
	}
	for {
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		switch err := m.answers.Decode(&answer); {
		case err != nil:
			return fmt.Errorf("QEMU: %s: %w", command, err)
		case answer.Error != nil:
			return fmt.Errorf("QEMU: %s: %s", command, answer.Error.Desc)
		case answer.Return != nil:
			return nil
		}
	}
}

// SetLink gives a card its carrier, or takes it away, as the guest sees it.
func (m *Monitor) SetLink(ctx context.Context, card int, up bool) error {
	return m.execute(ctx, "set_link", struct {
		Name string `json:"name"`
		Up   bool   `json:"up"`
	}{cardID(card), up})
}

// Close ends the conversation. The machine goes on.
func (m *Monitor) Close() error { return m.conn.Close() }
