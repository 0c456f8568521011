package control

import (
	"context"
	"net/http"
)

// Handler answers requests without a socket.
func (s *Server) Handler(ctx context.Context) http.Handler { return s.routes(ctx) }

// Limits that tests go to.
const (
	MaxPerPeer = maxPerPeer
	MaxBody    = maxBody
)
