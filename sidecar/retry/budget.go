// Package retry bounds how often requests are sent again, so that a failing Service is not buried under retries.
package retry

// Budget allows retries as a share of recent requests: each request adds Ratio of a retry, each second PerSecond more, up to
// Burst. The zero value with zero Settings allows none. It belongs to one loop.
type Budget struct {
	Settings
	tokens float64
	last   int64
	begun  bool
}

// Settings are a budget's rates.
type Settings struct {
	Ratio     float64 // retries for each request, a fraction
	PerSecond float64 // retries a second in any case
	Burst     float64 // retries saved up at most; what is there at the start
}

// Defaults are DESIGN's 20 % and ten a second; the burst covers a busy pod that begins to fail: its requests in flight.
func Defaults() Settings { return Settings{Ratio: 0.2, PerSecond: 10, Burst: 100} }

// Deposit counts one request.
func (b *Budget) Deposit() {
	b.begin()
	b.tokens = min(b.tokens+b.Ratio, b.Burst)
}

// Withdraw asks for one retry at time now, in nanoseconds of any steady clock, and reports whether it is granted.
func (b *Budget) Withdraw(now int64) bool {
	b.begin()
	if b.last != 0 && now > b.last {
		b.tokens = min(b.tokens+float64(now-b.last)/1e9*b.PerSecond, b.Burst)
	}
	b.last = now
	if b.tokens < 1-1e-9 { // sums of 0.2 fall short of 1 by a hair
		return false
	}
	b.tokens--
	return true
}

func (b *Budget) begin() {
	if !b.begun {
		b.begun = true
		b.tokens = b.Burst
	}
}
