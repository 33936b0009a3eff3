package h2

import (
	"io"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

func TestHowAnAttemptEndsWhoseConnectionHas(t *testing.T) {
	flood := &frame.ConnError{Code: frame.EnhanceYourCalm, Reason: frame.TooManyControlFrames}
	gone := &frame.ConnError{Code: frame.InternalError, Reason: frame.PeerGone}
	for _, c := range []struct {
		name                   string
		err                    error
		unprocessed, malformed bool
	}{
		{"the endpoint ends it", io.EOF, false, false},
		{"the endpoint breaks a rule", flood, false, true},
		{"the endpoint breaks a rule before it can have seen the request", flood, true, false},
		{"the endpoint's machine is gone", gone, false, false}, // lost, and may be sent again if it is idempotent
		{"the endpoint's machine is gone and has acknowledged nothing", gone, true, false},
	} {
		f := failureOf(c.err, c.unprocessed)
		if want := (Failure{Err: c.err, Unprocessed: c.unprocessed, Malformed: c.malformed}); f != want {
			t.Errorf("%s: got %+v, want %+v", c.name, f, want)
		}
	}
}
