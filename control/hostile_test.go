package control_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
	"github.com/vswitch/vswitch/control"
	"github.com/vswitch/vswitch/control/controltest"
	"github.com/vswitch/vswitch/frame"
	"github.com/vswitch/vswitch/vlan"
)

// dial opens a connection that the test misuses.
func dial(t *testing.T, d *controltest.Daemon) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", d.Socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// answersSoon fails the test unless another client gets its answers before any
// deadline of those that misbehave can have freed what they hold.
func answersSoon(t *testing.T, d *controltest.Daemon) {
	t.Helper()
	c := client.New(client.Config{Socket: d.Socket, Timeout: 4 * time.Second})
	defer c.Close()
	for i := range 10 {
		name := fmt.Sprintf("soon%d", i)
		if _, err := c.AddPort(context.Background(), api.PortSpec{Name: name, Kind: api.KindTap}); err != nil {
			t.Fatal(err)
		}
		if err := c.DeletePort(context.Background(), "sw0", name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Show(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// crowd puts n stations into the FDB, so that an answer is longer than what a
// socket holds.
func crowd(t *testing.T, d *controltest.Daemon, n int) {
	t.Helper()
	for i := range n {
		if err := d.Engine.AddFDB(context.Background(), "sw0", vlan.ID(10), frame.Address(0x020000000000|uint64(i)).MAC(), ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientsThatMisbehaveDisturbNobody(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, d *controltest.Daemon, conn net.Conn)
	}{
		{"silent", func(*testing.T, *controltest.Daemon, net.Conn) {}},
		{"half a request line", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			io.WriteString(conn, "GET /v1/po")
		}},
		{"half a header", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			io.WriteString(conn, "GET /v1/ports HTTP/1.1\r\nHost: x\r\nX: ")
		}},
		{"half a body", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			io.WriteString(conn, "POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"name\":")
		}},
		{"half a body of a GET", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			io.WriteString(conn, "GET /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
		}},
		{"half a chunk", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			io.WriteString(conn, "POST /v1/ports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{")
		}},
		{"never reading", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			for range 1000 {
				if _, err := io.WriteString(conn, "GET /v1/fdb HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
					return
				}
			}
		}},
		{"noise", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			for range 1000 {
				if _, err := io.WriteString(conn, strings.Repeat("\x00\xff\r\n", 1000)); err != nil {
					return
				}
			}
		}},
		{"an endless header", func(t *testing.T, _ *controltest.Daemon, conn net.Conn) {
			conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			io.WriteString(conn, "GET / HTTP/1.1\r\n")
			for range 10_000 {
				if _, err := io.WriteString(conn, strings.Repeat("A", 1000)+": b\r\n"); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := start(t, nil)
			crowd(t, d, 5000)
			for range 8 {
				c.do(t, d, dial(t, d))
			}
			answersSoon(t, d)
			begin := time.Now()
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(begin); took > 2*time.Second { // one, and a busy machine
				t.Errorf("the daemon needed %v to end", took)
			}
		})
	}
}

func TestBodyOverLimitIsRefusedWithoutReadingIt(t *testing.T) {
	d := start(t, nil)
	conn := dial(t, d)
	fmt.Fprintf(conn, "POST /v1/ports HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 1<<40)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	go io.WriteString(conn, strings.Repeat("x", control.MaxBody+1)) // ends with conn
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("the answer is %s", resp.Status)
	}
}

func TestOneProcessCannotTakeAllConnections(t *testing.T) {
	d := start(t, nil)
	var conns []net.Conn
	for range control.MaxPerPeer {
		conns = append(conns, dial(t, d))
	}
	// The door takes them in one after another, so this is past the last.
	conn := dial(t, d)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	var e api.ErrorBody
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != http.StatusServiceUnavailable || e.Error.Code != api.Busy {
		t.Errorf("connection %d gets %s %+v, %v", control.MaxPerPeer+1, resp.Status, e.Error, err)
	}
	for _, c := range conns {
		c.Close()
	}
	// Places are free again as soon as the server has seen that.
	cl := client.New(client.Config{Socket: d.Socket, Timeout: time.Second})
	defer cl.Close()
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, err := cl.Version(context.Background())
		if err == nil {
			return
		}
		var busy *api.Error
		if !errors.As(err, &busy) || busy.Code != api.Busy || time.Now().After(deadline) {
			t.Fatalf("after they are closed: %v", err)
		}
	}
}

func TestEventsTellWhatHappens(t *testing.T) {
	d := start(t, nil)
	c := client.New(client.Config{Socket: d.Socket})
	defer c.Close()
	happened, err := c.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	furnish(t, d)
	mac := frame.MAC{2, 0, 0, 0, 0, 7}
	for _, port := range []string{"sw0/p1", "sw0/t1"} {
		vid := vlan.ID(0)
		if port == "sw0/t1" {
			vid = 10
		}
		if err := d.Learn(port, mac, vid); err != nil {
			t.Fatal(err)
		}
	}
	down := true
	if _, err := c.SetPort(context.Background(), "sw0", "p1", api.PortChange{Down: &down}); err != nil {
		t.Fatal(err)
	}
	if err := c.DeletePort(context.Background(), "sw0", "p1"); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{
		"port-added p1  ": true, "port-added t1  ": true, "port-added q1  ": true,
		"fdb-moved t1  from p1": true, "port-state p1 down ": true, "port-changed p1 down ": true, "port-removed p1 down ": true,
	}
	for e, err := range happened {
		if err != nil {
			t.Fatalf("%v, while waiting for %v", err, want)
		}
		if e.Switch != "sw0" || e.Time.IsZero() {
			t.Errorf("event %+v lacks its switch or time", e)
		}
		from := ""
		if e.From != "" {
			from = "from " + e.From
		}
		for w := range want {
			if strings.HasPrefix(w, e.Kind+" "+e.Port+" ") && strings.HasSuffix(w, from) {
				delete(want, w)
			}
		}
		if len(want) == 0 {
			return
		}
	}
	t.Errorf("the stream ended without %v", want)
}

// openEvents starts a stream that nobody reads; when it returns, the server has
// begun to send. It ends with the test.
func openEvents(t *testing.T, d *controltest.Daemon) {
	t.Helper()
	conn := dial(t, d)
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
}

func TestEndsWithinASecondWithOpenStreams(t *testing.T) {
	d, err := controltest.Start(filepath.Join(t.TempDir(), "s"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		openEvents(t, d)
	}
	begin := time.Now()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 2*time.Second { // one, and a busy machine
		t.Errorf("the daemon needed %v to end", took)
	}
}
