package webhook

import (
	"net/http"
	"time"
)

// few lets next serve a few requests at a time. Each takes a place before its body is read, and gives it back when it is answered; one that
// finds no place within wait is answered 503. It is for requests that may be large and may fail: a review of a ConfigMap has up to
// 7 MiB, and their number must not take the memory of the process, which pods cannot be made without.
type few struct {
	next   http.Handler
	wait   time.Duration
	places chan struct{} // as many as there may be; what is in it is taken
}

func newFew(most int, wait time.Duration, next http.Handler) *few {
	return &few{next: next, wait: wait, places: make(chan struct{}, most)}
}

// ServeHTTP implements http.Handler.
func (f *few) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(f.wait)
	defer timer.Stop()
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
		f.next.ServeHTTP(w, r)
	case <-timer.C:
		http.Error(w, "too many requests at a time", http.StatusServiceUnavailable)
	case <-r.Context().Done(): // nobody waits for an answer any more
	}
}
