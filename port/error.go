package port

import "fmt"

// Code sorts errors by what the asker can do about them.
type Code string

// The codes of errors that making a port may meet.
const (
	Invalid  Code = "invalid"   // ask differently
	NotFound Code = "not-found" // no such namespace, container that runs, or device
	Exists   Code = "exists"    // something of that name stands already
	Refused  Code = "refused"   // well asked, but not as things stand
	Failed   Code = "failed"    // the system did not do what should have worked
)

// Error is an error for people: its text says what, why, and what would work.
type Error struct {
	Code    Code
	Message string
	Err     error // what the kernel or a command said, if that is beneath it
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns what is beneath.
func (e *Error) Unwrap() error { return e.Err }

func errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error()}
	if u, ok := err.(interface{ Unwrap() error }); ok {
		e.Err = u.Unwrap()
	}
	return e
}
