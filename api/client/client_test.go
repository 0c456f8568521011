package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/api/client"
)

// serve answers every request at a socket of its own.
func serve(t *testing.T, answer http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: answer}
	go hs.Serve(l) // until Close
	t.Cleanup(func() { hs.Close() })
	return socket
}

func wantCode(t *testing.T, err error, code api.Code, says string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Message, says) {
		t.Errorf("the error is %v, want code %s and %q", err, code, says)
	}
}

func TestSocketIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv(client.SocketVar, "/from/environment")
	if got := client.New(client.Config{}).Socket(); got != "/from/environment" {
		t.Errorf("the socket is %s", got)
	}
	if got := client.New(client.Config{Socket: "/said"}).Socket(); got != "/said" {
		t.Errorf("the socket is %s", got)
	}
	t.Setenv(client.SocketVar, "")
	if got := client.New(client.Config{}).Socket(); got != client.DefaultSocket {
		t.Errorf("the socket is %s", got)
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		code   api.Code
		says   string
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(409)
			io.WriteString(w, `{"error":{"code":"refused","message":"not today"}}`)
		}, api.Refused, "not today"},
		{"an error of somebody else's", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", 404) }, api.NoDaemon, "is no vswitchd"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }, api.NoDaemon, "read the answer"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"version":`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, api.NoDaemon, "read the answer"},
		{"nothing in time", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-forever:
			}
		}, api.Timeout, "within 0.05s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := client.New(client.Config{Socket: serve(t, c.answer), Timeout: 50 * time.Millisecond})
			defer cl.Close()
			_, err := cl.Version(context.Background())
			wantCode(t, err, c.code, c.says)
			_, err = cl.Events(context.Background())
			if c.code != api.NoDaemon || c.says == "is no vswitchd" { // the others come with the first event
				wantCode(t, err, c.code, c.says)
			}
		})
	}
}

func TestEventsThatDoNotComeDoNotTimeOut(t *testing.T) {
	send := make(chan struct{})
	socket := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-send
		io.WriteString(w, `{"kind":"switch-added","switch":"lab"}`+"\n")
	})
	cl := client.New(client.Config{Socket: socket, Timeout: 20 * time.Millisecond})
	defer cl.Close()
	events, err := cl.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(60*time.Millisecond, func() { close(send) }) // past the timeout
	var got []string
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Kind+" "+e.Switch)
	}
	if len(got) != 1 || got[0] != "switch-added lab" {
		t.Errorf("events %q", got)
	}
}

func TestCancelledRequestSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	socket := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	cl := client.New(client.Config{Socket: socket})
	defer cl.Close()
	if _, err := cl.Ports(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
	if _, err := cl.Events(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want context.Canceled", err)
	}
}

// A daemon that is about to listen is waited for, and one that is not there is
// reported as ever.
func TestPatienceWithADaemonThatStarts(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	cl := client.New(client.Config{Socket: socket, Patience: time.Minute, Timeout: 2 * time.Minute})
	defer cl.Close()
	asked := make(chan error, 1)
	go func() {
		_, err := cl.Switches(t.Context())
		asked <- err
	}()
	select {
	case err := <-asked:
		t.Fatalf("got %v at once, want that it waits", err)
	case <-time.After(30 * time.Millisecond): // it has looked more than once
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") })}
	go hs.Serve(l) // until Close
	defer hs.Close()
	if err := <-asked; err != nil {
		t.Error(err)
	}

	cl = client.New(client.Config{Socket: socket + "-absent", Patience: time.Minute, Timeout: 50 * time.Millisecond})
	defer cl.Close()
	_, err = cl.Switches(t.Context())
	wantCode(t, err, api.NoDaemon, "nothing is there")
}
