// Package h1 speaks HTTP/1.x: RFC 9112. Its codec parses heads in place and follows bodies without touching them; what
// needs no change is forwarded as the bytes that came.
//
// The codec is pure: Request and Response parse a head, Chunks follows a chunked body, rewrite.go edits the fields that
// belong to one connection and not to the message. It opens nothing, logs nothing and counts nothing; whoever calls it
// owns the buffer and decides what a Reason costs. In steady state it does not allocate.
//
// It is strict where two readers of one message could disagree about where it ends, and transparent elsewhere: see
// docs/decisions/0002-http1-strictness.md.
package h1
