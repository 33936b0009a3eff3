// Package retry bounds how often requests are sent again, so that a failing Service is not buried under retries.
package retry

import "math"

// Budget allows retries as a share of recent requests: each request adds Ratio of a retry, each second PerSecond more, up to
// Burst. The zero value with zero Settings allows none. It belongs to one loop. Where loops have Tokens in common, their budgets are
// one: what the Settings say holds for all together.
type Budget struct {
	Settings
	// Tokens are what the budget draws on; nil gives it some of its own at the first use.
	Tokens *Tokens
	owed   int64 // of Tokens: what requests have added here and not there yet
}

// Settings are a budget's rates.
type Settings struct {
	Ratio     float64 // retries for each request, a fraction
	PerSecond float64 // retries a second in any case
	Burst     float64 // retries saved up at most; what is there at the start
}

// Defaults are DESIGN's 20 % and ten a second; the burst covers a busy pod that begins to fail: its requests in flight.
func Defaults() Settings { return Settings{Ratio: 0.2, PerSecond: 10, Burst: 100} }

// Deposit counts one request. What it adds is kept here until it makes a whole retry, so that most requests touch nothing that loops
// share.
func (b *Budget) Deposit() {
	b.owed += int64(math.Round(b.Ratio * micro))
	if b.owed >= micro {
		b.settle()
	}
}

// Withdraw asks for one retry at time now, in nanoseconds of a steady clock that all loops have, and reports whether it is granted.
func (b *Budget) Withdraw(now int64) bool {
	b.fill(now)
	return b.Tokens.take(micro)
}

// Has reports whether Withdraw would grant a retry at time now, as long as no other loop takes it first.
func (b *Budget) Has(now int64) bool {
	b.fill(now)
	return b.Tokens.has(micro)
}

// fill adds what is owed, and what the time up to now has brought.
func (b *Budget) fill(now int64) {
	b.settle()
	if d := b.Tokens.since(now); d > 0 {
		b.Tokens.add(int64(min(float64(d)/1e9*b.PerSecond, b.Burst)*micro), b.most())
	}
}

// settle adds what is owed.
func (b *Budget) settle() {
	if b.Tokens == nil {
		b.Tokens = &Tokens{}
	}
	b.Tokens.add(b.owed, b.most())
	b.owed = 0
}

func (b *Budget) most() int64 { return int64(b.Burst * micro) }
