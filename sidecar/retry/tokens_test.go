package retry

import (
	"sync"
	"sync/atomic"
	"testing"
)

// What is documented of a proxy holds for all its loops together, whichever of them the requests and the failures come to.
func TestLoopsHaveOneBudget(t *testing.T) {
	const second = int64(1e9)
	s := Settings{Ratio: 0.2, PerSecond: 10, Burst: 100}
	take := func(b *Budget, now int64) (n int) {
		for b.Withdraw(now) {
			n++
		}
		return n
	}
	t.Run("an unlucky loop has all of the burst, and no other has it again", func(t *testing.T) {
		tokens := &Tokens{}
		a, b := Budget{Settings: s, Tokens: tokens}, Budget{Settings: s, Tokens: tokens}
		if n := take(&a, second); n != 100 {
			t.Errorf("one loop was granted %d retries, want the burst of 100", n)
		}
		if n := take(&b, second); n != 0 {
			t.Errorf("the other was granted %d more", n)
		}
	})
	t.Run("requests of one loop pay for retries of another", func(t *testing.T) {
		tokens := &Tokens{}
		a, b := Budget{Settings: s, Tokens: tokens}, Budget{Settings: s, Tokens: tokens}
		take(&b, second)
		for range 100 {
			a.Deposit()
		}
		if n := take(&b, second); n != 20 {
			t.Errorf("%d retries were granted behind 100 requests, want 20", n)
		}
	})
	t.Run("time counts once", func(t *testing.T) {
		tokens := &Tokens{}
		a, b := Budget{Settings: s, Tokens: tokens}, Budget{Settings: s, Tokens: tokens}
		take(&a, second)
		n := take(&a, 2*second) + take(&b, 2*second) + take(&a, 2*second-1) // a loop's clock may be behind
		if n != 10 {
			t.Errorf("%d retries were granted in a second, want 10", n)
		}
	})
	t.Run("at the same time", func(t *testing.T) {
		tokens := &Tokens{}
		var granted atomic.Int64
		var wg sync.WaitGroup
		const loops, requests = 4, 5000
		for range loops {
			wg.Go(func() {
				b := Budget{Settings: s, Tokens: tokens}
				for i := range requests {
					b.Deposit()
					if b.Withdraw(second + int64(i)*1e6) {
						granted.Add(1)
					}
				}
			})
		}
		wg.Wait()
		want := 0.2*loops*requests + 10*requests/1e3 + 100
		if n := float64(granted.Load()); n > want || n < 0.99*want-100 {
			t.Errorf("%.0f retries of %d requests in 5 s, want at most %.0f and not much fewer", n, loops*requests, want)
		}
	})
}
