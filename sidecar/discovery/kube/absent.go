package kube

import (
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// maxAbsent bounds how many addresses without an answer are remembered: a process that scans a range must not fill
// the memory of its pod.
const maxAbsent = 1024

// absences are the addresses that lead nowhere for the time being. Reading takes no lock.
type absences struct {
	mu sync.Mutex // for writing
	by atomic.Pointer[map[netip.Addr]absence]
}

// absence is what is answered for an address until a time, in Unix nanoseconds.
type absence struct {
	reason discovery.Reason
	until  int64
}

// lookup answers the reason that is remembered for an address, if any.
func (a *absences) lookup(addr netip.Addr) (discovery.Reason, bool) {
	by := a.by.Load()
	if by == nil {
		return 0, false
	}
	entry, ok := (*by)[addr]
	if !ok || entry.until <= time.Now().UnixNano() {
		return 0, false
	}
	return entry.reason, true
}

// add remembers a reason for a while. What has expired is forgotten, and when there are too many, those that expire next.
func (a *absences) add(addr netip.Addr, reason discovery.Reason, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	next := map[netip.Addr]absence{addr: {reason, now.Add(d).UnixNano()}}
	if by := a.by.Load(); by != nil {
		old := maps.Clone(*by)
		delete(old, addr)
		maps.DeleteFunc(old, func(_ netip.Addr, e absence) bool { return e.until <= now.UnixNano() })
		for len(old) >= maxAbsent {
			var first netip.Addr
			for addr, e := range old {
				if !first.IsValid() || e.until < old[first].until {
					first = addr
				}
			}
			delete(old, first)
		}
		maps.Copy(next, old)
	}
	a.by.Store(&next)
}
