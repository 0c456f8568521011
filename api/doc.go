// Package api holds what the daemon and its clients say to each other: the
// bodies of requests and answers, as they stand in JSON, and the codes of
// errors.
//
// It says nothing about how they travel: package control serves them over a
// Unix socket, package client asks for them, and docs/api.md shows every route
// with curl. It imports nothing of the switch, so that a client does not carry
// one with it. A type whose name ends in Spec is what somebody asks for: its
// nil fields were not said.
package api

import "fmt"

// DefaultSwitch is the switch of a port that is named without one, and of a
// change that names none.
const DefaultSwitch = "sw0"

// Error is an error for people: it says what, why, and what would work.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}

// ErrorBody is the body of every answer that is an error.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// Code sorts errors by what the asker can do about them.
type Code string

// The codes that a daemon answers with.
const (
	Invalid    Code = "invalid"     // malformed words: ask differently (400)
	Forbidden  Code = "forbidden"   // the asker may look, and not change anything (403)
	NotFound   Code = "not-found"   // no such switch, port, entry, namespace, device or route (404)
	NotAllowed Code = "not-allowed" // the route stands, but does not know the method (405)
	Exists     Code = "exists"      // something of that name stands already (409)
	Refused    Code = "refused"     // well asked, but not as things stand (409)
	TooLarge   Code = "too-large"   // the body is over 1 MiB (413)
	Failed     Code = "failed"      // the system did not do what should have worked (500)
	Busy       Code = "busy"        // too many connections at once (503)
	Closing    Code = "closing"     // the daemon is on its way out (503)
	Moved      Code = "moved"       // another daemon has taken its place, and answers at the same socket; nothing was done (503)
)

// The codes of a client that got no answer.
const (
	NoDaemon Code = "no-daemon" // nobody answers at the socket
	Timeout  Code = "timeout"   // the answer did not come in time
)

// Shutdown is the body of POST /v1/shutdown, which ends the daemon. With Remove it
// leaves no device, whatever it was told of its ports when it started.
type Shutdown struct {
	Remove bool `json:"remove,omitempty"`
}

// Version is the answer to GET /v1/version.
type Version struct {
	Version string `json:"version"`
	PID     int    `json:"pid,omitempty"` // of the daemon, as it knows itself
}
