package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// explainField is the field by which a request asks for an explanation and an answer gives it.
const explainField = explanation.Field

// trace is how a request came to its answer, kept where somebody is to be told.
type trace struct {
	explained, logged bool
	steps             []step // attempts that have ended
	status            int    // of the final answer; 0 is none
}

type step struct {
	attempt
	took time.Duration
}

func (t *trace) reset() {
	t.explained, t.logged, t.status = false, false, 0
	t.steps = t.steps[:0]
}

func (t *trace) add(a *attempt, now int64) {
	if t.explained || t.logged {
		t.steps = append(t.steps, step{*a, time.Duration(now - a.began)})
	}
}

// asked looks at what a Service asks for besides.
func (w *Worker) asked(r *route, x *h1.Exchange) {
	q := &r.one
	number, explain := "", false
	if n := q.rules.Limits.Connections; n != 0 {
		q.atMost(n) // a connection carries one request at a time
	}
	if q.rules.AttemptHeader != "" {
		number = string(x.Request.Value(strings.ToLower(q.rules.AttemptHeader)))
	}
	if q.rules.Explain == rules.ExplainHeader {
		explain = x.Request.Has(explainField)
	}
	q.ask(number, explain)
}

// ask is asked in any protocol: number is what the request says in the Service's attempt header, and explain that it wants to be
// explained.
func (q *request) ask(number string, explain bool) {
	s := q.rules
	if s.Limits.Requests != 0 {
		q.atMost(s.Limits.Requests)
	}
	if number != "" {
		n, err := strconv.Atoi(number)
		if q.nested = err == nil && n > 1; q.nested {
			q.before = min(n, mostNumber) - 1
		}
	}
	w := q.route.w
	q.trace.explained = s.Explain == rules.ExplainOn || s.Explain == rules.ExplainHeader && explain
	q.trace.logged = s.AccessLog > 0 && w.o.AccessLog != nil && (s.AccessLog >= 1 || w.rand.Float64() < s.AccessLog)
}

// attemptField answers the field with the number of the attempt that was begun last.
func (q *request) attemptField() h1.Extra {
	name := q.rules.AttemptHeader
	if name == "" {
		return h1.Extra{}
	}
	return h1.Extra{Name: strings.ToLower(name), Line: fmt.Appendf(nil, "%s: %d\r\n", name, q.number())}
}

// mostNumber is the largest number of an attempt that is passed on.
const mostNumber = 1000

// number answers the number of the attempt that was begun last, in the attempt header.
func (q *request) number() int { return q.before + q.begun }

// explanation answers the field that says how the answer of attempt a came about.
func (q *request) explanation(a *attempt) h1.Extra {
	return h1.Extra{Name: explainField, Line: []byte(explainField + ": " + q.explain(a) + "\r\n")}
}

// reply answers a request ourselves, with a text for a person.
func (w *Worker) reply(r *route, x *h1.Exchange, status int, text string) {
	q := &r.one
	q.answered(status)
	x.Extra = h1.Extra{}
	if q.trace.explained {
		x.Extra = q.explanation(nil)
	}
	x.Reply(status, text)
}

// explain says in one line how the answer of attempt a came about; nil is an answer of our own.
func (q *request) explain(a *attempt) string {
	now := q.route.w.l.Now()
	e := explanation.Explanation{Service: q.route.name(), Policy: q.rules.Policy, Endpoint: explanation.None, Attempts: q.begun,
		Time: time.Duration(now - q.began), Key: q.keyTale()}
	if a != nil {
		e.Endpoint, e.Pod, e.Answered = a.ep.Addr.String(), a.ep.Name, time.Duration(a.took(now))
	}
	for i := range q.trace.steps {
		if s := &q.trace.steps[i]; s.outcome != classify.Answered {
			e.Tried = append(e.Tried, explanation.Attempt{Endpoint: s.ep.Addr.String(), Outcome: s.outcome.String(), Status: s.status, Took: s.took})
		}
	}
	return e.String()
}
