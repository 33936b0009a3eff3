package proxy

import (
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// ahead is a leg that is made while the client is silent, in case the server speaks first. It takes no place (see connect). A nil one is none.
type ahead struct {
	leg
	err     error // why there is no leg
	dialled bool  // the dial has ended, with a leg or an error
	speaks  bool  // the server has spoken, or closed
	ended   bool  // the coroutine that dials and then watches the server has ended

	wanted *loop.Task // waits for the leg, or was the first to
	own    route
	// decided says that the client has spoken, or gone; left, that nobody waits for the leg any more.
	decided, left bool
	watcher       *loop.Task
}

// saysSettings reads what the server said, and reports whether it is an HTTP/2 SETTINGS frame.
func (a *ahead) saysSettings() bool {
	a.said = h1.Stream{Conn: a.conn}
	if a.said.TryFill(loop.Small) != nil || len(a.said.Buffered()) < frame.HeaderLen {
		return false
	}
	h := frame.Parse(a.said.Buffered())
	return h.Type == frame.Settings && h.Flags == 0 && h.Length < frame.DefaultMaxSize && h.Check(frame.DefaultMaxSize) == nil
}

// dialAhead begins to make a leg, and wakes the calling coroutine when it is certain that there is none or when the server speaks.
func (w *Worker) dialAhead(r *route) *ahead {
	// The dial may outlast the connection's detection, and its requests use its route meanwhile.
	a := &ahead{wanted: w.l.Current(), own: *r}
	w.services.use(a.own.service)
	w.l.Go(func() {
		defer w.services.done(a.own.service)
		a.watcher = w.l.Current()
		a.leg, a.err = w.connect(&a.own, &a.left)
		a.dialled = true
		if a.err == nil {
			w.l.Wait(loop.Never, a.conn, nil, func() bool { return a.decided || a.conn.Readable() })
			a.speaks = a.conn.Readable()
		}
		a.ended = true
		if !a.left {
			a.wanted.Wake()
		} else if a.err == nil {
			w.discard(a.leg)
		}
	})
	return a
}

// take answers the leg, which is the caller's from now on, as soon as it is made.
func (w *Worker) take(a *ahead) (leg, error) {
	a.decide(w.l.Current())
	// Also when the leg is there: its coroutine may not wait on the connection while another one begins to.
	if !a.ended {
		w.l.Wait(loop.Never, nil, nil, func() bool { return a.ended })
	}
	if !a.ended { // the loop stops; where the coroutine has ended meanwhile it has left the leg to us
		a.left = true
		return leg{}, loop.ErrStopped
	}
	return a.leg, a.err
}

// leave gives the leg up. With keep, one that is there is kept for an exchange.
func (w *Worker) leave(a *ahead, keep bool) {
	if a == nil {
		return
	}
	if !a.dialled {
		a.left = true
		a.decide(nil)
		return
	}
	g, err := w.take(a)
	if err != nil {
		return
	}
	if !keep {
		w.discard(g)
		return
	}
	w.done(g)
	g.said.Drop()
	w.pools.Put(h1.NewUpstream(g.conn, g.ep))
}

func (a *ahead) decide(wanted *loop.Task) {
	a.decided, a.wanted = true, wanted
	if a.watcher != nil {
		a.watcher.Wake()
	}
}
