package retry

import "sync/atomic"

// Tokens are what the loops of a process have saved up together of one Service's retries. A Budget of each loop puts in and takes out.
// The zero value is ready. Safe for concurrent use.
type Tokens struct {
	// filled is the number of tokens, in microtokens, plus one: 0 is a budget that nobody has used yet.
	filled atomic.Int64
	// last is when tokens were last added for the time that went by, on the clock of Withdraw's now.
	last atomic.Int64
}

const micro = 1_000_000

// add puts in n, up to most in all. The first to come fills them up instead.
func (t *Tokens) add(n, most int64) {
	for {
		old := t.filled.Load()
		now := min(old+n, most+1)
		if old == 0 {
			now = most + 1
		}
		if t.filled.CompareAndSwap(old, now) {
			return
		}
	}
}

// take takes n out and reports whether there were so many.
func (t *Tokens) take(n int64) bool {
	for {
		old := t.filled.Load()
		if old-1 < n {
			return false
		}
		if t.filled.CompareAndSwap(old, old-n) {
			return true
		}
	}
}

// has reports whether there are so many.
func (t *Tokens) has(n int64) bool { return t.filled.Load()-1 >= n }

// since answers the nanoseconds that no loop was given tokens for yet. Those of the first call have no beginning.
func (t *Tokens) since(now int64) int64 {
	last := t.last.Load()
	if now <= last || !t.last.CompareAndSwap(last, now) || last == 0 {
		return 0 // another loop's clock is ahead, or it is at it
	}
	return now - last
}
