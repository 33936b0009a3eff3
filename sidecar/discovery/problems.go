package discovery

import (
	"log/slog"
	"slices"
	"sync"
)

// Problems keeps what a source cannot use at present, by where it comes from (a file, an object), and logs each problem
// once when it appears and once when it is gone. It is safe for concurrent use.
type Problems struct {
	log *slog.Logger

	mu sync.Mutex
	by map[string][]string
}

// NewProblems makes an empty list that logs to log.
func NewProblems(log *slog.Logger) *Problems {
	return &Problems{log: log, by: map[string][]string{}}
}

// Set says which problems a place has now; none of them clears it.
func (p *Problems) Set(place string, now []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.by[place]
	for _, s := range now {
		if !slices.Contains(before, s) {
			p.log.Warn("discovery: "+s, "problem", "new")
		}
	}
	for _, s := range before {
		if !slices.Contains(now, s) {
			p.log.Info("discovery: "+s, "problem", "gone")
		}
	}
	if len(now) == 0 {
		delete(p.by, place)
		return
	}
	p.by[place] = slices.Clone(now)
}

// List answers all present problems, sorted.
func (p *Problems) List() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, list := range p.by {
		all = append(all, list...)
	}
	slices.Sort(all)
	return all
}
