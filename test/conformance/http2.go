package main

// http2Suites hold HTTP/2 and gRPC through the proxy to what others wrote, and to attacks and load of our own.
var http2Suites = []*suite{
	h2spec(),
	interop(),
	connect(),
	ghz(),
	nodeGRPCClient(),
	pythonGRPCClient(),
	attacks(),
	badServers(),
	spread(),
	bulk(),
}
