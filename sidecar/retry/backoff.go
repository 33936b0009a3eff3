package retry

import "time"

// Backoff is how long to wait before an attempt, where waiting helps: no endpoint is left that the request was not sent to. It has the
// fields of rules.Backoff. The zero value answers 0.
type Backoff struct{ Base, Most time.Duration }

// Wait answers the time before further attempt n, from 1: a random share of Base doubled with each attempt up to Most ("full
// jitter", which spreads out callers that failed at the same time). random is in [0, 1).
func (b Backoff) Wait(n int, random float64) time.Duration {
	d := b.Base
	for ; n > 1 && d < b.Most; n-- {
		d *= 2
	}
	return time.Duration(float64(min(d, max(b.Base, b.Most))) * random)
}
