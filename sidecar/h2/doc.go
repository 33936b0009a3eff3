// Package h2 is HTTP/2 as the proxy needs it (RFC 9113): connections of applications (Downstream) and to endpoints (Upstream), and
// Exchanges, which are streams that run from one to the other frame by frame. Header blocks are decoded and encoded again, stream
// identifiers mapped, windows kept on both sides; data goes on as it comes, and what its receiver cannot take yet is held, bounded by the
// window that was granted for it. Nothing is translated to or from HTTP/1.
//
// Everything belongs to one loop. A connection has one coroutine, which reads; a stream has none. What is written during a turn of the
// loop goes out with one system call at the turn's end.
//
// Where a request goes is not decided here: see Handler.
package h2
