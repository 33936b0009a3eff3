//go:build linux && !netloop && !race

package loop

import (
	"testing"
	"time"
)

func TestTheLoopLingersWhereWaitsAreShort(t *testing.T) {
	const short, long = 20 * time.Microsecond, time.Millisecond
	for _, c := range []struct {
		name  string
		waits []time.Duration // over and over
		pays  bool
	}{
		{"a ping-pong", []time.Duration{short}, true},
		{"three short ones to a long one", []time.Duration{short, short, short, long}, true},
		{"an answer soon, the next request late", []time.Duration{short, long}, false},
		{"a quiet service", []time.Duration{long}, false},
	} {
		var g linger
		paid := 0
		const waits = 120
		for i := range waits {
			if g.pays() {
				paid++
			}
			g.waited(int64(c.waits[i%len(c.waits)]))
		}
		if mostly := paid > waits/2; mostly != c.pays || !c.pays && paid > 0 {
			t.Errorf("%s: lingered before %d of %d waits", c.name, paid, waits)
		}
	}
}
