package h1

// workspace is what a connection needs while a request is under way: over a kilobyte with the fields of an ordinary head.
type workspace struct {
	request  Request
	exchange Exchange
	pumped   outgoing
}

// outgoing is room for the segments of a head and for what is written into it. It is in use until they have been sent.
type outgoing struct {
	segments [8][]byte
	scratch  [96]byte
}

// Workspaces lends them to the connections of one loop, so that an idle connection holds none. The zero value is ready.
type Workspaces struct{ free []*workspace }

// workspacesKept bounds the free ones.
const workspacesKept = 256

// borrow takes a workspace, unless the connection has one.
func (d *Downstream) borrow() {
	if d.request != nil {
		return
	}
	ws := d.o.Workspaces
	var s *workspace
	if k := len(ws.free); k > 0 {
		s = ws.free[k-1]
		ws.free[k-1] = nil
		ws.free = ws.free[:k-1]
	} else {
		s = &workspace{}
	}
	d.space, d.request, d.x = s, &s.request, &s.exchange
}

// giveBack returns it. While the loop stops a pump may still hold on to it, so it is dropped then.
func (d *Downstream) giveBack() {
	s := d.space
	if s == nil {
		return
	}
	d.space, d.request, d.x = nil, nil, nil
	if !s.exchange.pump.running && s.exchange.d != nil {
		s.exchange.forget() // a panic has left it
	}
	if ws := d.o.Workspaces; len(ws.free) < workspacesKept && !d.Conn.Loop().Stopping() && !s.exchange.pump.running {
		s.request.Reset()
		s.exchange = Exchange{}
		ws.free = append(ws.free, s)
	}
}
