package proxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Chaos with every way of a further attempt at once: attempts are raced after a moment, time out, wait at a limit, and servers answer
// errors and hang beside all the rest. What arrives whole is right, and nothing stays behind.
func TestChaosWithRaces(t *testing.T) {
	seeds, connections := 6, 40
	if testing.Short() {
		seeds = 2
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := newRig(t)
			r.on(func() { r.w.silence = 50 * time.Microsecond })
			r.serve(chaos(t, seed), chaos(t, seed+100), erring(t, seed), erring(t, seed+100))
			r.with(chaoticRules)
			var wg sync.WaitGroup
			for k := range 8 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					rng := rand.New(rand.NewPCG(seed, uint64(1000+k)))
					for i := range connections {
						c, err := net.Dial("tcp", r.addr.String())
						if err != nil {
							t.Error(err)
							return
						}
						c.SetDeadline(time.Now().Add(patience))
						chaoticClient(t, rng, c.(*net.TCPConn), (k*connections+i)*100)
						c.Close()
					}
				}()
			}
			wg.Wait()
			s := r.service()
			t.Logf("%d and %d races, %d and %d timeouts, %d refused at limits, %d ejections", s.Races[0].Load(), s.Races[1].Load(),
				s.Timeouts[0].Load(), s.Timeouts[1].Load(), s.Limited[0].Load()+s.Limited[1].Load(), s.Ejections.Load())
		})
	}
}

// chaoticRules ask for everything at once.
func chaoticRules(ru *rules.Rules) {
	ru.Hedge, ru.PerTryTimeout, ru.Timeout = time.Millisecond, 20*time.Millisecond, 100*time.Millisecond
	ru.Retry.Most = 5
	ru.Retry.Budget = rules.Budget{Ratio: 10, PerSecond: 1000, Burst: 1000}
	ru.Ejection.First, ru.Ejection.Most = 5*time.Millisecond, 50*time.Millisecond
	ru.Limits.Requests, ru.Limits.Pending, ru.Limits.Queue = 2, 3, 5*time.Millisecond
	ru.Explain = rules.ExplainOn
}

// erring is a server that answers errors of all sizes, late, or nothing for a while, and at times what was asked for.
func erring(t *testing.T, seed uint64) netip.AddrPort {
	var n atomic.Uint64
	return newFaulty(t, func(_ int64, c *net.TCPConn) bool {
		rng := rand.New(rand.NewPCG(seed, n.Add(1)))
		time.Sleep(time.Duration(rng.IntN(3)*rng.IntN(3)) * time.Millisecond)
		size := bodySize(rng)
		code := []int{500, 502, 503, 504}[rng.IntN(4)]
		head := fmt.Sprintf("HTTP/1.1 %d %s\r\nX-Size: %d\r\n", code, http.StatusText(code), size)
		var answer []byte
		if rng.IntN(2) == 0 {
			answer = append([]byte(head+"Transfer-Encoding: chunked\r\n\r\n"), encode(rng, pattern(1, size), true)...)
		} else {
			answer = append([]byte(head+fmt.Sprintf("Content-Length: %d\r\n\r\n", size)), pattern(1, size)...)
		}
		switch rng.IntN(10) {
		case 0: // hangs
			time.Sleep(30 * time.Millisecond)
			return false
		case 1: // hangs within the head
			io.Copy(c, bytes.NewReader(answer[:rng.IntN(len(head))]))
			time.Sleep(30 * time.Millisecond)
			return false
		case 2: // resets within the answer
			trickle(rng, c, part(rng, answer))
			c.SetLinger(0)
			return false
		}
		return trickle(rng, c, answer)
	}).addr
}
