package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"sync"
)

// ready is the readiness check: all of its parts, and a line in the log whenever the answer changes.
type ready struct {
	parts []func(*http.Request) error
	log   *slog.Logger

	mu   sync.Mutex
	last string // what was logged
}

func (r *ready) check(req *http.Request) error {
	var errs []error
	for _, part := range r.parts {
		errs = append(errs, part(req))
	}
	err := errors.Join(errs...)
	answer := "ready"
	if err != nil {
		answer = err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer != r.last {
		r.log.Info("readiness", "ready", err == nil, "answer", answer)
		r.last = answer
	}
	return err
}
