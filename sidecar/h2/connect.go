package h2

import "github.com/sluice-mesh/sluice/sidecar/h2/frame"

// Extended CONNECT (RFC 8441) is end to end: a client may send it once it was told that the server takes it, which we can say when a connection
// to an endpoint of the Service has said it to us. Not all endpoints may.

// Extended reports whether the request is an extended CONNECT.
func (x *Exchange) Extended() bool { return x.Request.Protocol != "" }

// Connects reports whether the endpoint has said that it takes extended CONNECT.
func (u *Upstream) Connects() bool { return u.connect }

// Started reports whether the endpoint's SETTINGS have come.
func (u *Upstream) Started() bool { return u.started }

// Takes reports whether the exchange can be opened on this connection now.
func (u *Upstream) Takes(x *Exchange) bool { return u.Room() > 0 && (u.connect || !x.Extended()) }

// Unfit says that the endpoint does not take the request, which was not sent.
func (x *Exchange) Unfit(err error) {
	x.queue = nil
	x.fail(Failure{Unprocessed: true, Err: err})
}

// offerConnect tells the client that extended CONNECT is taken. It is never taken back: RFC 8441, section 3.
func (d *Downstream) offerConnect() {
	if d.offered {
		return
	}
	d.offered = true
	d.room(32)
	d.out = frame.AppendSettings(d.out, frame.Setting{ID: frame.EnableConnectProtocol, Value: 1})
	d.unacked++
	d.dirty()
}
