package proxy

import (
	"net/http"
	"strings"
	"testing"

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
