package kube

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

const (
	// maxLookups bounds the addresses that are being found out at one time; connections to further ones pass through.
	maxLookups = 256
	// lookupTimeout bounds finding out one address. It is longer than anybody waits, so that an answer that comes late is
	// there for the next connection.
	lookupTimeout = 10 * time.Second
	// maxBring is how often a Service is asked for that is gone as soon as it was found.
	maxBring = 2
)

// lookup is finding out one address, for all connections that wait for it.
type lookup struct {
	waiters []*waiter // guarded by the Resolver's mutex
}

// waiter is one call of Resolve.
type waiter struct {
	dst   netip.AddrPort
	done  func(discovery.Answer)
	timer *time.Timer
	over  atomic.Bool // done was called
}

// answer calls done, once.
func (w *waiter) answer(make func() discovery.Answer) {
	if w.over.CompareAndSwap(false, true) {
		w.done(make())
	}
}

// Lookup answers from what is known. It takes no lock.
func (r *Resolver) Lookup(dst netip.AddrPort) discovery.Answer {
	answer := r.table.Load().Lookup(dst)
	if answer.Reason != discovery.Pending {
		return answer
	}
	if reason, ok := r.absent.lookup(dst.Addr().Unmap()); ok {
		answer.Reason = reason
	}
	return answer
}

// Resolve finds out what is behind a destination, for all that ask for the same address together. The answer is
// Unavailable when it did not come within ResolveTimeout; it is used for later connections when it comes after all.
func (r *Resolver) Resolve(dst netip.AddrPort, done func(discovery.Answer)) {
	dst = discovery.Unmap(dst)
	if answer := r.Lookup(dst); answer.Reason != discovery.Pending {
		done(answer)
		return
	}
	w := &waiter{dst: dst, done: done}
	r.mu.Lock()
	l := r.lookups[dst.Addr()]
	if r.ctx.Err() != nil || l == nil && len(r.lookups) >= maxLookups {
		r.mu.Unlock()
		done(discovery.Answer{Reason: discovery.Unavailable})
		return
	}
	w.timer = time.AfterFunc(r.opts.ResolveTimeout, func() {
		w.answer(func() discovery.Answer {
			r.absent.add(dst.Addr(), discovery.Unavailable, r.opts.RetryAfter)
			return discovery.Answer{Reason: discovery.Unavailable}
		})
	})
	if l == nil {
		l = &lookup{}
		r.lookups[dst.Addr()] = l
		r.running.Go(func() { r.resolve(dst.Addr(), l) })
	}
	l.waiters = append(l.waiters, w)
	r.mu.Unlock()
}

// resolve finds out one address and answers those that wait.
func (r *Resolver) resolve(addr netip.Addr, l *lookup) {
	ctx, cancel := context.WithTimeout(r.ctx, lookupTimeout)
	defer cancel()
	err := r.bring(ctx, addr)
	if err != nil {
		reason, age := reasonFor(err), r.opts.RetryAfter
		if reason == discovery.UnknownService {
			age = r.opts.AbsentFor
		}
		r.absent.add(addr, reason, age)
	}

	r.mu.Lock()
	delete(r.lookups, addr)
	waiters := l.waiters
	r.mu.Unlock()
	for _, w := range waiters {
		w.timer.Stop()
		w.answer(func() discovery.Answer {
			answer := r.Lookup(w.dst)
			if answer.Reason == discovery.Pending { // what was brought is gone again
				answer.Reason = discovery.Unavailable
			}
			return answer
		})
	}
}

// bring gets the Service that has an address into the table.
func (r *Resolver) bring(ctx context.Context, addr netip.Addr) error {
	for range maxBring {
		f, err := r.find(ctx, addr)
		if err != nil {
			return err
		}
		w, err := r.watch(f)
		if err != nil {
			return err
		}
		w.waiting.Add(1) // however long its lists take, it is not unused
		select {
		case <-w.ready:
		case <-w.gone:
		case <-ctx.Done():
		}
		w.asked.Store(time.Now().UnixNano())
		w.waiting.Add(-1)
		if err := ctx.Err(); err != nil {
			return err
		}
		if w.hasEnded() { // deleted, or retired in this very moment: ask again
			continue
		}
		if _, ok := r.table.Load().Addrs[addr]; ok {
			return nil
		}
		return errNoService // it has given up the address
	}
	return errNoService
}

// watch answers the followed Service, and begins to follow it if it is not yet.
func (r *Resolver) watch(f found) (*watched, error) {
	r.mu.Lock()
	w := r.watched[f.name]
	if w == nil && r.ctx.Err() == nil {
		w = r.newWatched(f.name)
		r.watched[f.name] = w
		r.mu.Unlock()
		w.start(f)
		return w, nil
	}
	r.mu.Unlock()
	if w == nil {
		return nil, errStopped
	}
	return w, nil
}
