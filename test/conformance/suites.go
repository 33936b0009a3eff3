package main

import "path/filepath"

// The reasons of differences that more than one suite shows.
const (
	refusedFirst = "a request whose framing is wrong gets its 400 from the proxy; the server must not see what the client did not frame"
	shared       = "connections to endpoints are kept and shared: how long a client's connection lives is between the client and the proxy"
	unreadable   = "an answer that cannot be read, or whose head is larger than --max-head-bytes, is a 502 (docs/decisions/0002, 0004)"
	unasked      = "RFC 9110, section 7.8: a server must not switch to a protocol that the client did not ask for"
	mended       = "RFC 9112, section 5.1: a proxy must remove white space before a colon of an answer"
	gone         = "no endpoint can be reached: 503, as the client's connect has succeeded already (docs/decisions/0004)"
	connected    = "a connect is the proxy's to take and succeeds where nobody listens: a test that needs a port without a server skips itself"
	withheld     = "an answer that comes before 100 (Continue) and the body closes the connection, so that a body cannot be taken for a request"
	otherVersion = "a first line of another version is not recognised as HTTP/1.x: its connection is opaque, and the server decides (docs/decisions/0002)"
	prefaceOurs  = "a connection that begins as HTTP/2 is served as HTTP/2: an endpoint sees its requests, and never the client's preface"
	nextRequest  = "bytes behind a request are the next one, which waits until the first is answered"
)

var suites = []*suite{
	goTests("Go net/http", "", "net/http",
		difference{"TestInvalidChunkedBodies", "", refusedFirst},
		difference{"TestUnsupportedTransferEncodingsReturn501", "", refusedFirst},
		difference{"TestBadResponseAfterReadingBody", asAService, unreadable},
		difference{"TestTransportRejectsSignInContentLength", asAService, unreadable},
		difference{"TestTransportResponseHeaderLength", asAService, unreadable},
		difference{"TestTransportTreat101Terminal", asAService, unasked},
		difference{"TestWriteHeaderSwitchingProtocols", asAService, unasked},
		difference{"TestInvalidHeaderResponse", asAService, mended},
		difference{"TestServerShutdown", asAService, gone},
		difference{"TestTransportExpect100Continue*NoConnClose", asAService, withheld},
		difference{"TestServerHijackGets*", asAService, nextRequest},
		difference{"TestCloseIdleConnections", asAService, shared},
		difference{"TestServerKeepAlivesEnabled", asAService, shared},
		difference{"TestServerKeepAlivesEnabledResultClose", asAService, shared},
		difference{"TestTransportConnectionCloseOnRequest", asAService, shared},
		difference{"TestTransportConnectionCloseOnRequestDisableKeepAlive", asAService, shared},
		difference{"TestTransportIgnore1xxResponses", asAService, shared},
		difference{"TestTransportPersistConnLeak", asAService, shared},
		difference{"TestHandlersCanSetConnectionClose1[01]", asAService, shared},
		difference{"TestServerConnState", asAService, shared},
		difference{"TestServerSetKeepAlivesEnabledClosesConns", asAService, shared},
		difference{"TestTransportIgnores408", asAService, shared},
		difference{"TestHTTP2UpgradeClosesConnection", asAService, prefaceOurs},
		difference{"TestServerHandlersCanHandleH2PRI", asAService, prefaceOurs},
		difference{"TestTransportKeepAlives", asAService, shared},
		difference{"TestTransportRemovesDeadIdleConnections", asAService, shared},
		difference{"TestTransportServerClosingUnexpectedly", asAService, shared},
	).atLeast(600),
	goTests("Go net/http/httputil", "", "net/http/httputil",
		difference{"TestReverseProxyHijackCopyError", asAService, unasked},
	).atLeast(50),
	goTests("gorilla/websocket", "github.com/gorilla/websocket@v1.5.3", ".").atLeast(58),
	goTests("coder/websocket", "github.com/coder/websocket@v1.8.15", ".").atLeast(26),
	vectorSuite("desync-guardian", "desync-guardian.json",
		difference{"DG-acceptable-006", "", otherVersion},
		difference{"DG-acceptable-008", "", otherVersion},
		difference{"DG-ambiguous-024", "", otherVersion},
	).atLeast(159),
	vectorSuite("llhttp", "llhttp.json",
		difference{"LLHTTP-invalid-18", "", otherVersion},
		difference{"LLHTTP-lenient-version-00", "", otherVersion},
		difference{"LLHTTP-connection-02", throughUs, "what follows the last request of a connection is not looked at, and is that client's own affair"},
	).atLeast(166),
	cpython("test_httplib", false).atLeast(100),
	cpython("test_urllib2_localnet", false).atLeast(20),
	cpython("test_httpservers", false,
		difference{"*.test_head_via_send_error", asAService, unasked},
		difference{"*.test_send_error", asAService, unasked},
		difference{"*.SimpleHTTPServerTestCase.*", asAService, shared},
	).atLeast(50),
	cpython("test_smtplib", true).atLeast(75),
	cpython("test_poplib", true).atLeast(60),
	cpython("test_imaplib", true,
		difference{"*.test_imap4_host_default_value", "", connected},
	).atLeast(85),
	cpython("test_ftplib", true).atLeast(85),
	languages("Python requests, httpx", "PyPI requests 2.32.3, httpx 0.27.2", "client.py", fetchPython, func(dir, file string) []string {
		return []string{filepath.Join(dir, "venv", "bin", "python"), file, serverURL}
	}),
	languages("Node http, undici, ws", "npm ws 8.18.0, undici 6.21.1", "client.mjs", fetchNode, func(dir, file string) []string {
		return []string{"node", file, serverURL, wsPort}
	}),
	languages("Java HttpClient", "Debian openjdk", "Client.java", nil, func(dir, file string) []string {
		return []string{"java", "-XX:TieredStopAtLevel=1", file, serverURL}
	}),
	calls("curl", "Debian curl", httpServer,
		call{"get", "curl -fsS $URL/", "^hello\n$"},
		call{"http1.0", "curl -fsS0 $URL/echo", `"proto":"HTTP/1.0"`},
		call{"head", "curl -fsSI $URL/bytes/12345", "Content-Length: 12345"},
		call{"options", "curl -fsS -X OPTIONS $URL/echo", `"method":"OPTIONS"`},
		call{"options *", "curl -sS -X OPTIONS --request-target '*' -w '%{http_code}' $URL", "200$"},
		call{"unknown method", "curl -fsS -X FROB $URL/echo", `"method":"FROB"`},
		call{"delete with body", "curl -fsS -X DELETE -d abc $URL/echo", `"length":3`},
		call{"post", "curl -fsS -d a=b $URL/echo", `"length":3`},
		call{"upload, expects 100", "head -c 3000000 /dev/zero | curl -fsS -H 'Expect: 100-continue' -T - $URL/echo", `"length":3000000`},
		call{"upload with a length", "head -c 3000000 /dev/zero >zeros && curl -fsS --data-binary @zeros $URL/echo", `"length":3000000`},
		call{"form", "echo x >x && curl -fsS -F a=@x -F b=c $URL/echo", `"method":"POST"`},
		call{"range", "curl -fsS -r 10-19 -w '%{http_code}' $URL/bytes/100", "x{10}206$"},
		call{"compressed", "curl -fsS --compressed $URL/gzip", "^hello$"},
		call{"redirects", "curl -fsSL $URL/redirect/5", "^hello\n$"},
		call{"resume", "printf xxxxx >part && curl -fsS -C - -o part $URL/bytes/5000 && wc -c <part", "^5000"},
		call{"no 304 body", "curl -sS -z 'Thu, 01 Jan 2099 00:00:00 GMT' -w '%{http_code}' $URL/bytes/10", "^304$"},
		call{"chunked, raw", "curl -fsS --raw $URL/chunks/2", "^3e8\r\n.*\r\n0\r\n\r\n$"},
		call{"trailers", "curl -fsS --raw $URL/trailers", "X-Sum: 42"},
		call{"early hints", "curl -fsSi $URL/hints", "103 Early Hints.*103 Early Hints.*200 OK"},
		call{"kept connection", "curl -fsSv $URL/ $URL/ $URL/", "Re-using existing connection"},
		call{"close", "curl -fsSi -H 'Connection: close' $URL/", "Connection: close.*hello"},
		call{"parallel", "curl -fsSZ --parallel-max 20 \"$URL/echo?[1-200]\" | grep -c GET", "\\n200\\n$|^200\\n$"},
		call{"large head", "curl -fsS -H \"X: $(head -c 30000 /dev/zero | tr '\\0' x)\" $URL/", "^hello\n$"},
		call{"http2, upgrade", "curl -fsS --http2 $URL/echo", `"proto":"HTTP/1.1"`},
		call{"http2, prior knowledge", "curl -fsS --http2-prior-knowledge $URL/echo", `"proto":"HTTP/2.0"`},
		call{"download", "curl -fsS $URL/bytes/50000000 | wc -c", "^50000000"},
		call{"limited rate", "curl -fsS --limit-rate 4M $URL/bytes/4000000 | wc -c", "^4000000"},
		call{"client gives up", "curl -fsS -m 0.3 $URL/slow; echo $?", "28\\n$"},
	),
	calls("load clients", "Debian apache2-utils, wrk, hey, nghttp2-client", httpServer,
		call{"ab", "ab -l -q -n 2000 -c 20 $URL/", "Failed requests: +0\n"},
		call{"ab -k", "ab -l -q -k -n 10000 -c 50 $URL/", "Failed requests: +0\nKeep-Alive requests: +10000\n"},
		call{"wrk", "wrk -t1 -c50 -d2s $URL/ | tee wrk; ! grep -E 'Socket errors|Non-2xx' wrk", "Requests/sec"},
		call{"hey", "hey -n 2000 -c 20 $URL/", "\\[200\\]\t2000 responses\n*$"},
		call{"hey, new connections", "hey -n 1000 -c 20 -disable-keepalive $URL/", "\\[200\\]\t1000 responses\n*$"},
	),
	calls("redis-benchmark", "Debian redis", redis,
		call{"get and set", "redis-benchmark -p 8083 -q -n 5000 -c 20 -t get,set,lpush", "GET: .*LPUSH: "},
		call{"pipelined", "redis-benchmark -p 8083 -q -n 20000 -P 16 -t set", "SET: "},
		call{"large values", "redis-benchmark -p 8083 -q -n 200 -d 500000 -t set,get", "GET: "},
	),
	calls("pgbench", "Debian postgresql", postgres,
		call{"initialise", "pgbench -h 127.0.0.1 -p 8084 -U bench -i -q postgres", "done"},
		call{"select", "pgbench -h 127.0.0.1 -p 8084 -U bench -n -S -c 8 -t 200 postgres", "number of failed transactions: 0 "},
		call{"a connection each", "pgbench -h 127.0.0.1 -p 8084 -U bench -n -S -C -c 4 -t 25 postgres", "number of failed transactions: 0 "},
	),
}
