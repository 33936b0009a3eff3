package main

// http2Suites hold HTTP/2 and gRPC through the proxy to what others wrote, and to attacks and load of our own.
var http2Suites = []*suite{
	h2spec(),
	interop(),
	connect(),
	ghz(),
	calls("h2load", "Debian nghttp2-client", httpServer,
		call{"one connection, 100 streams", "h2load -n 20000 -c 1 -m 100 $URL/", ` 20000 succeeded, 0 failed`},
		call{"5 connections, 20 streams", "h2load -n 20000 -c 5 -m 20 $URL/", ` 20000 succeeded, 0 failed`},
		call{"one stream", "h2load -n 2000 -c 1 -m 1 $URL/", ` 2000 succeeded, 0 failed`},
		call{"bodies", "head -c 100000 /dev/zero >zeros && h2load -n 500 -c 2 -m 10 -d zeros $URL/echo", ` 500 succeeded, 0 failed`},
		call{"large answers", "h2load -n 200 -c 2 -m 10 $URL/bytes/1000000", ` 200 succeeded, 0 failed`},
		call{"small windows", "h2load -n 200 -c 2 -m 10 -w 12 -W 14 $URL/bytes/100000", ` 200 succeeded, 0 failed`},
	),
	nodeGRPCClient(),
	pythonGRPCClient(),
	javaGRPCClient(),
	attacks(),
	badServers(),
	spread(),
	bulk(),
}
