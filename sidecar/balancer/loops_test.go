package balancer

import (
	"sync"
	"testing"
)

// Two loops use one picker at the same time; for the race detector.
func TestLoopsShareNoState(t *testing.T) {
	for _, policy := range Policies() {
		for v := range variants {
			for _, n := range []int{3, 100} {
				o, set := varied(v, n)
				o.Policy = policy
				p := mustNew(t, o, set)
				var loops sync.WaitGroup
				for loop := range 2 {
					loops.Go(func() {
						r := request(loop, uint64(loop))
						for range 200 {
							r.Now += 1000
							load := &p.Pick(r).Load[loop]
							load.InFlight++
							load.SuspectUntil = r.Now + 500
							Observe(load, 1000, r.Now)
							load.InFlight--
						}
					})
				}
				loops.Wait()
			}
		}
	}
}
