package main

// The reasons of differences that suites of HTTP/2 and gRPC show.
const (
	undeclared = "a first line that is not HTTP/2's is HTTP/1.x, or nobody's, unless the Service says that its port is HTTP/2's"
)

// http2Suites hold HTTP/2 and gRPC through the proxy to what others wrote, and to attacks and load of our own.
var http2Suites = []*suite{
	h2spec(
		difference{"http2/3.5/2", throughUs, undeclared},
	),
	interop(),
	connect(),
	ghz(),
	nodeGRPCClient(),
	pythonGRPCClient(),
	attacks(),
	badServers(),
}
