package proxy

import (
	"net/netip"

	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2"
)

// head1 is the head of an HTTP/1.x request as shardkey reads it, and head2 that of a stream. A worker has one of each.
type head1 struct {
	request *h1.Request
	client  netip.Addr
}

func (h *head1) Header(name string, nth int) ([]byte, bool) { return h.request.Nth(name, nth) }
func (h *head1) Target() []byte                             { return h.request.Target }
func (h *head1) Client() netip.Addr                         { return h.client }

type head2 struct {
	x      *h2.Exchange
	client netip.Addr
	buf    []byte // of the last answer
}

// Header answers a field. Where HTTP/1.x has Host, HTTP/2 has :authority (RFC 9113, section 8.3.1).
func (h *head2) Header(name string, nth int) ([]byte, bool) {
	for i := range h.x.Fields {
		if f := &h.x.Fields[i]; f.Name == name {
			if nth == 0 {
				return h.bytes(f.Value), true
			}
			nth--
		}
	}
	if name == "host" && nth == 0 && h.x.Request.Authority != "" && !h.x.Has(name) {
		return h.bytes(h.x.Request.Authority), true
	}
	return nil, false
}

func (h *head2) Target() []byte     { return h.bytes(h.x.Request.Path) }
func (h *head2) Client() netip.Addr { return h.client }

func (h *head2) bytes(s string) []byte {
	h.buf = append(h.buf[:0], s...)
	return h.buf
}
