// Package head checks and reads the field lists of HTTP/2 messages: RFC 9113, section 8, and what gRPC adds. It is pure,
// keeps nothing and, for messages that are in order, allocates nothing.
package head
