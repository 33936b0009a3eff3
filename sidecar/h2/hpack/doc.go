// Package hpack compresses and expands HTTP/2 field sections: RFC 7541, for the header part of sidecar/h2.
//
// An Encoder or a Decoder belongs to one direction of one connection, and so to one loop: no locks. Both are pure: bytes
// in, bytes out. What a compression error costs is the caller's to decide (RFC 9113, section 4.3: COMPRESSION_ERROR).
package hpack

import xhpack "golang.org/x/net/http2/hpack"

// Field is one field line, pseudo-header fields included. Sensitive ones are written as never indexed and stay out of
// every table (RFC 7541, section 6.2.3).
type Field = xhpack.HeaderField
