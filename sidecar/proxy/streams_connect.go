package proxy

import (
	"errors"

	"github.com/sluice-mesh/sluice/sidecar/h2"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

var errConnectTime = errors.New("no connection in half of the request's time")

// toConnectBy answers when a call whose running attempt still waits for a connection goes to another endpoint, which is to have the other half
// of the request's time; loop.Never where there is no such time or no such endpoint, and for one that stays, since the others are full. The
// connection is others' as well: it goes on being made, and if it fails the endpoint is suspect.
func (c *call) toConnectBy(x *h2.Exchange) int64 {
	a := &c.attempt
	if _, sent := x.Went(); sent || c.within == 0 || a.ep == nil || a.stays || c.held.ep != nil || !c.others(a.ep) {
		return loop.Never
	}
	return a.began + (c.request.began+int64(c.within)-a.began)/2
}
