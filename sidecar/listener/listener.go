// Package listener accepts redirected connections and finds out where each was going. A connection that was made to the proxy
// itself is refused: serving it would lead back here for ever.
package listener

import (
	"errors"
	"net/netip"

	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
)

// Options are the settings of a listener.
type Options struct {
	// Serve is given each connection with its original destination, in a coroutine of its own. It answers false when the connection is over,
	// and true when it goes on elsewhere, which is to close it.
	Serve func(c *loop.Conn, dst netip.AddrPort) (goesOn bool)
	// OriginalDst answers where a connection was going; nil asks the kernel.
	OriginalDst func(c *loop.Conn) (netip.AddrPort, error)
	// Gate bounds the connections of all listeners of the process; nil does not.
	Gate  *Gate
	Stats *metrics.Loop
}

// Serve accepts on ln until it is closed. It runs in a coroutine of the listener's loop.
func Serve(l *loop.Loop, ln *loop.Listener, o Options) error {
	original := o.OriginalDst
	if original == nil {
		original = (*loop.Conn).OriginalDst
	}
	for {
		c, err := ln.Accept()
		if errors.Is(err, loop.ErrClosed) || errors.Is(err, loop.ErrStopped) {
			return nil
		}
		if err != nil {
			return err
		}
		o.Stats.Accepted.Add(1)
		if o.Gate.enter(l, func() { o.Stats.Limited[metrics.LimitConnections].Add(1) }) != nil {
			c.Close()
			return nil
		}
		l.Go(func() {
			o.Stats.Open.Add(1)
			c.OnClose(func() {
				o.Stats.Open.Add(-1)
				o.Gate.leave()
			})
			goesOn := false
			defer func() {
				if !goesOn {
					c.Close()
				}
			}()
			dst, err := original(c)
			// Without a REDIRECT rule there is no original destination, or it is our own address.
			if err != nil || dst == c.LocalAddr() {
				o.Stats.LoopGuard.Add(1)
				c.Reset()
				return
			}
			goesOn = o.Serve(c, dst)
		})
	}
}
