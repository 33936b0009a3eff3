// Package head checks and reads the field lists of HTTP/2 messages: RFC 9113, section 8, and what gRPC says in them. It is
// pure, keeps nothing and allocates nothing.
//
// It refuses what the RFC calls malformed, because an intermediary must not pass that on (section 8.1.1), and leaves the
// rest to the server, so that nothing that works without us fails with us. In particular these pass:
//
//   - white space at the ends of a value, against section 8.2.1: a gRPC server's grpc-message may end in a space, and
//     clients in Go take it
//   - control characters in values other than NUL, CR and LF, and names that are no tokens but hold no byte that section
//     8.2.1 forbids
//   - a Host beside :authority, also one that differs: "An intermediary that forwards a request over HTTP/2 MAY retain any
//     Host header field" (section 8.3.1)
//   - neither of them, user information in :authority, schemes other than http and https, a :path without a leading slash or
//     with spaces
//   - the crumbs of a cookie (section 8.2.3), which are for whoever leaves HTTP/2 to join
//   - statuses and lengths that no method would lead to
package head
