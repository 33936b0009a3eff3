package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestEveryRefusalIsAnAnswerThatNamesItsReason(t *testing.T) {
	seen := make(map[string]bool)
	for reason := range Reasons {
		t.Run(reason.String(), func(t *testing.T) {
			if reason.String() == "" || seen[reason.String()] {
				t.Errorf("reason %d has no words of its own", reason)
			}
			seen[reason.String()] = true
			res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(reason.Answer())), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if want := "sluice: bad request: " + reason.String() + "\n"; string(body) != want {
				t.Errorf("body %q, want %q", body, want)
			}
			if want := fmt.Sprintf("%d %s", reason.Status(), http.StatusText(reason.Status())); !res.Close || res.StatusCode/100 < 4 ||
				res.Status != want && reason.Status() != 414 {
				t.Errorf("status %q, want %q, and close", res.Status, want)
			}
		})
	}
	if s := Reason(200).String(); s != "reason 200" {
		t.Error(s)
	}
}

func TestAnswers(t *testing.T) {
	const head = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 20\r\nConnection: close\r\n\r\n"
	if got, want := string(Answer(503, "no endpoint", false)), head+"sluice: no endpoint\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(Answer(503, "no endpoint", true)); got != head {
		t.Errorf("to HEAD: %q", got)
	}
}

func TestReasonsAreFoundInWrappedErrors(t *testing.T) {
	for _, err := range []error{&HeadError{Reason: BareCR, Offset: 7}, &ChunkError{Reason: BareCR, Offset: 7}} {
		if reason, ok := ReasonOf(fmt.Errorf("request 3: %w", err)); !ok || reason != BareCR {
			t.Errorf("%v: %q, %v", err, reason, ok)
		}
	}
	if reason, ok := ReasonOf(io.EOF); ok || reason != reasonNone {
		t.Errorf("EOF: %q, %v", reason, ok)
	}
}

func TestIdempotentMethods(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "PUT": true, "DELETE": true, "OPTIONS": true, "TRACE": true,
		"POST": false, "PATCH": false, "CONNECT": false, "get": false, "": false, "QUERY": false} {
		if IsIdempotent([]byte(method)) != want {
			t.Errorf("%q: %v, want %v", method, !want, want)
		}
	}
}
