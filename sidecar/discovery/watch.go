package discovery

import (
	"slices"
	"sync"
)

// watchers are those who want to know of a target's next snapshots. Requests that find what they need in the present one do not get
// here.
type watchers struct {
	mu  sync.Mutex
	all []*func()
}

// Watch has f called behind each snapshot that is published from now on, and behind Remove, until stop is called; one that is being published meanwhile may
// still call it. f is called by whoever publishes: it must not wait, and must not call Watch or stop. Safe for concurrent use.
func (t *Target) Watch(f func()) (stop func()) {
	w := &t.watchers
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, &f)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = slices.DeleteFunc(w.all, func(other *func()) bool { return other == &f })
	}
}

func (w *watchers) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.all {
		(*f)()
	}
}
