package upstream

import (
	"slices"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// Speech is what an endpoint makes of HTTP/2.
type Speech uint8

const (
	Unanswered  Speech = iota
	SpeaksHTTP2        // it sent SETTINGS
	NotHTTP2           // it sent something else, or ended the connection before it had sent anything
	Unreachable        // there was no connection
)

// Question asks an endpoint whether it speaks HTTP/2. The zero value is not asked yet. It belongs to the loop.
type Question struct {
	Endpoint *cluster.Endpoint
	Answer   Speech

	of    *streams
	asker *loop.Task
}

// Ask puts the question to an endpoint, whose answer wakes the calling coroutine: on a connection that requests can use later, or that they
// use already.
func (p *Pools) Ask(q *Question, ep *cluster.Endpoint) {
	s := p.streamsOf(ep)
	*q = Question{Endpoint: ep, of: s, asker: p.l.Current()}
	for _, u := range s.conns {
		if u.Started() {
			q.Answer = SpeaksHTTP2
			return
		}
	}
	s.questions = append(s.questions, q)
	if s.dialling == 0 && len(s.conns) == 0 {
		s.dialling++
		p.l.Go(func() { s.dial(false) })
	}
}

// Drop ends the question: nobody waits for its answer any more.
func (q *Question) Drop() {
	if s := q.of; s != nil {
		if i := slices.Index(s.questions, q); i >= 0 {
			s.questions = slices.Delete(s.questions, i, i+1)
		}
	}
}

// tell answers all questions.
func (s *streams) tell(a Speech) {
	for _, q := range s.questions {
		q.Answer = a
		q.asker.Wake()
	}
	s.questions = nil
}
