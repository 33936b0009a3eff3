package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/sidecar/h1"
)

// AccessLog writes the lines of the access log without keeping a loop waiting: when the reader of the log is slow lines are left
// out, and counted. Safe for concurrent use.
type AccessLog struct {
	lines   chan []byte
	done    chan struct{}
	dropped atomic.Uint64
}

// accessLines is how many lines may wait to be written.
const accessLines = 1024

// NewAccessLog begins to write to w; Close ends that.
func NewAccessLog(w io.Writer) *AccessLog {
	l := &AccessLog{lines: make(chan []byte, accessLines), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for line := range l.lines {
			w.Write(line)
		}
	}()
	return l
}

// add takes a line, or leaves it out.
func (l *AccessLog) add(line []byte) {
	select {
	case l.lines <- line:
	default:
		l.dropped.Add(1)
	}
}

// Dropped answers how many lines were left out. Close writes what is left; nothing may be added any more.
func (l *AccessLog) Dropped() uint64 { return l.dropped.Load() }

// Close is described at Dropped.
func (l *AccessLog) Close() {
	close(l.lines)
	<-l.done
}

// access is one line. Queries are left out: they hold secrets too often.
type access struct {
	Time     string           `json:"time"`
	Service  string           `json:"service"`
	Client   string           `json:"client"`
	Method   string           `json:"method"`
	Path     string           `json:"path"`
	Status   int              `json:"status"` // 0: none
	Policy   string           `json:"policy"`
	Seconds  float64          `json:"seconds"`
	Attempts []accessedStep   `json:"attempts"`
	Shard    *explanation.Key `json:"shard,omitempty"` // where a key, or a session, was looked for
}

type accessedStep struct {
	Endpoint string  `json:"endpoint"`
	Pod      string  `json:"pod"`
	Outcome  string  `json:"outcome"`
	Status   int     `json:"status,omitempty"`
	Seconds  float64 `json:"seconds"`
}

// log writes a request that has ended to the access log.
func (w *Worker) log(r *route, x *h1.Exchange) {
	path, _, _ := bytes.Cut(x.Request.Path(), []byte("?"))
	r.one.log(string(x.Request.Method), string(path))
}

// log writes a request that has ended to the access log, in any protocol.
func (q *request) log(method, path string) {
	w := q.route.w
	line := access{Time: time.Now().UTC().Format(time.RFC3339Nano), Service: q.route.name(), Client: q.route.client.String(), Method: method, Path: path,
		Status: q.trace.status, Policy: q.rules.Policy, Seconds: time.Duration(w.l.Now() - q.began).Seconds()}
	for i := range q.trace.steps {
		s := &q.trace.steps[i]
		line.Attempts = append(line.Attempts, accessedStep{s.ep.Addr.String(), s.ep.Name, s.outcome.String(), s.status, s.took.Seconds()})
	}
	if t := q.keyTale(); t != (explanation.Key{}) {
		line.Shard = &t
	}
	if b, err := json.Marshal(line); err == nil {
		w.o.AccessLog.add(append(b, '\n'))
	}
}
