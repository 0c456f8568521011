package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vswitch/vswitch/api"
)

// readBody reads a request's body, of so many octets at most, within its deadline
// and lifts the deadline: the work may take longer, and net/http would take a read
// that fails for the client's going.
func readBody(w http.ResponseWriter, r *http.Request, most int) ([]byte, error) {
	defer http.NewResponseController(w).SetReadDeadline(time.Time{})
	if r.Method != http.MethodPost && r.Method != http.MethodPatch {
		if r.ContentLength != 0 {
			w.Header().Set("Connection", "close")
			return nil, api.Errorf(api.Invalid, "%s takes no body: leave it out", r.Method)
		}
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, api.Errorf(api.TooLarge, "the body is over %d bytes: ask for less at once", most)
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, api.Errorf(api.Invalid, "the body did not arrive whole within %s: %v", bodyTime, err)
	}
	return body, nil
}

// decode reads a body that is one JSON object, with no field that into does not
// know: a misspelt field would silently do nothing.
func decode(body []byte, into any) error {
	if start := bytes.TrimLeft(body, " \t\r\n"); len(start) == 0 || start[0] != '{' {
		return api.Errorf(api.Invalid, `the body is no JSON object: write {"name": ...}`)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return api.Errorf(api.Invalid, "the body: %s", jsonTrouble(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return api.Errorf(api.Invalid, "the body goes on after the JSON object: send one object only")
	}
	return nil
}

// jsonTrouble says what is wrong with a body, without the names of Go.
func jsonTrouble(err error) string {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Sprintf("the value of %q cannot be a JSON %s", wrong.Field, wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Sprintf("a JSON %s is out of place", wrong.Value)
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON after %d bytes: %v", syntax.Offset, syntax)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the JSON ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// params reads the part of the URL behind the question mark, where each of the
// known names may stand once.
func params(r *http.Request, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, api.Errorf(api.Invalid, "what follows the question mark is malformed: %v", err)
	}
	got := make(map[string]string, len(values))
	for name, v := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, api.Errorf(api.Invalid, "no parameter %q is known here: leave it out", name)
		case !slices.Contains(known, name):
			return nil, api.Errorf(api.Invalid, "no parameter %q is known here: use %s", name, strings.Join(known, ", "))
		case len(v) > 1:
			return nil, api.Errorf(api.Invalid, "the parameter %q stands more than once: say it once", name)
		}
		got[name] = v[0]
	}
	return got, nil
}
