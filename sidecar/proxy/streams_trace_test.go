package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

func TestAnAnswerOverHTTP2Explained(t *testing.T) {
	var numbers []string
	seen := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, q *http.Request) {
			numbers = append(numbers, q.Header.Get("X-Attempt"))
			then(w, q)
		}
	}
	bad, good := newH2Server(t, seen(failing(503, "no"))), newH2Server(t, seen(named("good")))
	r := newRig(t)
	r.inOrder(bad.addr, good.addr)
	r.with(func(r *rules.Rules) { r.Explain, r.AttemptHeader = rules.ExplainHeader, "X-Attempt" })
	c := r.h2Client()
	q, _ := http.NewRequest("GET", "http://web/", nil)
	res, err := c.Do(q)
	if body(t, res, err); res.Header.Get("Sluice-Explain") != "" {
		t.Errorf("an explanation that nobody asked for: %v", res.Header)
	}
	q.Header.Set("Sluice-Explain", "1")
	res, err = c.Do(q)
	got := res.Header.Get("Sluice-Explain")
	if body(t, res, err); !strings.Contains(got, "attempts=2") || !strings.Contains(got, "tried="+bad.addr.String()+" server-error/503") {
		t.Errorf("explained: %q", got)
	}
	if want := "1 2 1 2"; strings.Join(numbers, " ") != want {
		t.Errorf("attempts were numbered %q, want %s", numbers, want)
	}
	// A request that is a further attempt already is not tried again for a status.
	q.Header.Set("X-Attempt", "2")
	res, err = c.Do(q)
	if body(t, res, err); res.StatusCode != 503 {
		t.Errorf("a nested attempt got %d", res.StatusCode)
	}
}

// A stream that the endpoint has not processed when it goes away, and that may not be sent again, is in the log as any other.
func TestAStreamThatGOAWAYEndedIsInTheAccessLog(t *testing.T) {
	var out bytes.Buffer
	log := NewAccessLog(&out)
	s := newGRPCServer(t, func(s *said) { s.WriteGoAway(0, http2.ErrCodeNo, nil) })
	r := newRig(t, func(o *Options) { o.AccessLog = log })
	r.serve(s.addr)
	r.with(func(r *rules.Rules) { r.AccessLog = 1 })
	res, err := r.h2Client().Post("http://web/path", "", io.MultiReader(strings.NewReader("x"))) // which the client cannot send again
	if err == nil {
		res.Body.Close()
		t.Errorf("got %d", res.StatusCode)
	}
	r.counts("requests that were not answered", 1, r.service().Classes[0].Load)
	r.end()
	r.stopped = true
	log.Close()
	var got access
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Path != "/path" || got.Status != 0 || len(got.Attempts) == 0 {
		t.Errorf("%v: logged %q", err, out.String())
	}
}
