package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// loadBound is how many attempts a loop may have under way at a member of a map before further ones go past it (sluice.mesh/shard-bounded-load). It
// is worked out when it is first asked for.
type loadBound struct {
	of   *shard.Map
	on   bool
	loop int
	now  int64
	most int64
}

// met reports whether an endpoint has its most. One with nothing under way never has, which is soon said: the request goes there, as far as
// the bound is concerned, and the map hears of each request once.
func (b *loadBound) met(load *cluster.Load) bool {
	if !b.on {
		return false
	}
	if load.InFlight == 0 {
		if b.most == 0 {
			b.of.Begin(b.loop)
		}
		return false
	}
	if b.most == 0 {
		b.most = b.of.MostInFlight(b.loop, b.now)
	}
	return b.most > 0 && load.InFlight >= b.most
}
