package control

import (
	"context"
	"net/http"
	"time"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/frame"

	vswitch "github.com/vswitch/vswitch/switch"
)

// events sends one JSON object a line, as things happen, until the client goes
// or streams ends. The engine leaves out what a slow reader has no room for; one
// that takes nothing for eventTime is dropped.
func (s *Server) events(streams context.Context, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.send(w, r, notAllowed(w, r, methods{http.MethodGet: nil}))
		return
	}
	_, err := readBody(w, r, maxBody)
	if err == nil {
		_, err = params(r)
	}
	if err != nil {
		s.send(w, r, refusal(err))
		return
	}
	c := connOf(r.Context())
	c.setStreaming()
	defer c.setAsking(false)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(streams, cancel)()

	// The header goes out at once: what happens after the client has seen
	// it, it will be told.
	happened := s.engine.Events(ctx)
	conn := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	if conn.SetWriteDeadline(time.Now().Add(eventTime)) != nil || conn.Flush() != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-happened:
			if !ok {
				return
			}
			if conn.SetWriteDeadline(time.Now().Add(eventTime)) != nil || encode(w, shownEvent(e)) != nil || conn.Flush() != nil {
				return
			}
		}
	}
}

func shownEvent(e vswitch.Event) api.Event {
	shown := api.Event{
		Time:   e.Time,
		Kind:   string(e.Kind),
		Switch: e.Switch,
		Port:   e.Port,
		State:  string(e.State),
		Reason: e.Reason,
		VLAN:   int(e.VLAN),
		From:   e.From,
	}
	if e.MAC != (frame.MAC{}) {
		shown.MAC = e.MAC.String()
	}
	return shown
}
