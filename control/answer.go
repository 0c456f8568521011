package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/vswitch/vswitch/api"
	"github.com/vswitch/vswitch/internal/document"

	vswitch "github.com/vswitch/vswitch/switch"
)

// answer is what a handler found. It is put into bytes after the engine is
// done with.
type answer struct {
	status int    // 0: 200
	body   any    // nil: none. list and byName are put into bytes piece by piece
	about  string // what a request was about whose path does not tell, for the log

	changed []thing // that is to be kept
	release func()  // ends what the handler has reserved for that; nil: nothing
}

// list is a JSON array of what is yielded, which nobody has to hold at once.
type list iter.Seq[any]

// listOf turns each item into what the API calls it.
func listOf[T, U any](items []T, turn func(T) U) list {
	return func(yield func(any) bool) {
		for _, it := range items {
			if !yield(turn(it)) {
				return
			}
		}
	}
}

// byName is a JSON object in the order that is yielded.
type byName iter.Seq2[string, any]

// encode writes body as one line of JSON.
func encode(w io.Writer, body any) error {
	out := bufio.NewWriterSize(w, 32<<10)
	if err := encodeValue(out, body); err != nil {
		return err
	}
	out.WriteByte('\n')
	return out.Flush()
}

// encodeValue writes body; a bufio.Writer keeps its first error for Flush.
func encodeValue(out *bufio.Writer, body any) error {
	switch body := body.(type) {
	case list:
		out.WriteByte('[')
		sep := ""
		for item := range body {
			out.WriteString(sep)
			if err := encodeValue(out, item); err != nil {
				return err
			}
			sep = ","
		}
		return out.WriteByte(']')
	case byName:
		out.WriteByte('{')
		sep := ""
		for name, item := range body {
			out.WriteString(sep)
			if err := encodeValue(out, name); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := encodeValue(out, item); err != nil {
				return err
			}
			sep = ","
		}
		return out.WriteByte('}')
	}
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

var statuses = map[api.Code]int{
	api.Invalid:    http.StatusBadRequest,
	api.Forbidden:  http.StatusForbidden,
	api.NotFound:   http.StatusNotFound,
	api.NotAllowed: http.StatusMethodNotAllowed,
	api.Exists:     http.StatusConflict,
	api.Refused:    http.StatusConflict,
	api.TooLarge:   http.StatusRequestEntityTooLarge,
	api.Failed:     http.StatusInternalServerError,
	api.Busy:       http.StatusServiceUnavailable,
	api.Closing:    http.StatusServiceUnavailable,
	api.Moved:      http.StatusServiceUnavailable,
}

// refusal turns an error into an answer.
func refusal(err error) answer {
	e := asError(err)
	status := statuses[e.Code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	return answer{status: status, body: api.ErrorBody{Error: e}}
}

// asError finds the error's code. One without a code is the system's.
func asError(err error) *api.Error {
	code := api.Failed
	var ours *api.Error
	var engines *vswitch.Error
	var file *document.Error
	switch {
	case errors.As(err, &file):
		return &api.Error{Code: api.Invalid, Message: file.Error()} // line by line
	case errors.As(err, &ours):
		code = ours.Code
	case errors.As(err, &engines):
		code = api.Code(engines.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return api.Errorf(api.Failed, "it was not done within %s, and was taken back: look at the daemon's log", workTime)
	case errors.Is(err, context.Canceled):
		return api.Errorf(api.Closing, "the request was cancelled and taken back")
	}
	// errors.Join puts a line between what went wrong one after another.
	return &api.Error{Code: code, Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
}
