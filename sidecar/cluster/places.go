package cluster

import "sync/atomic"

// Places counts what runs at an endpoint, or in all, on all loops of the process, where there is a limit to it; else nobody touches it. The
// zero value is ready. Safe for concurrent use.
type Places struct{ at atomic.Pointer[places] }

// places fills a cache line of its own: what stands beside Places is read by all loops, for each request.
type places struct {
	taken atomic.Int64
	_     [56]byte
}

func (p *Places) own() *places {
	if at := p.at.Load(); at != nil {
		return at
	}
	p.at.CompareAndSwap(nil, &places{})
	return p.at.Load()
}

// Take takes a place of at most that many, and reports whether there was one; what was taken is to be given back.
func (p *Places) Take(most int64) bool {
	at := p.own()
	for {
		n := at.taken.Load()
		if n >= most {
			return false
		}
		if at.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Exceed takes a place whether there is one or not.
func (p *Places) Exceed() { p.own().taken.Add(1) }

// Give gives a place back.
func (p *Places) Give() { p.own().taken.Add(-1) }

// Taken answers how many are taken.
func (p *Places) Taken() int64 {
	if at := p.at.Load(); at != nil {
		return at.taken.Load()
	}
	return 0
}
