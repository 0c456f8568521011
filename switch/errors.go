package vswitch

import "fmt"

// Code sorts errors by what the asker can do about them.
type Code string

// The codes of errors that a person or a script may meet.
const (
	Invalid  Code = "invalid"   // malformed words: ask differently
	NotFound Code = "not-found" // no such switch, port, entry, namespace or device
	Exists   Code = "exists"    // something of that name stands already
	Refused  Code = "refused"   // well asked, but not as things stand
	Failed   Code = "failed"    // the system did not do what should have worked
	Closing  Code = "closing"   // the switch is on its way out
)

// Error is an error for people: it says what, why, and what would work.
type Error struct {
	Code    Code
	Message string
}

func (e *Error) Error() string { return e.Message }

func errorf(code Code, format string, args ...any) *Error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
