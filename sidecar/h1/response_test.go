package h1

import (
	"strings"
	"testing"
)

func TestResponseFraming(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name       string
		in         string
		method     string
		want       Framing
		length     int64
		persistent bool
	}{
		{"a length", ok + "Content-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"length 0", ok + "Content-Length: 0\r\n\r\n", "GET", None, 0, true},
		{"a length in HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, false},
		{"a length in HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"a length and close", ok + "Connection: close\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, false},
		{"the same length twice", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"the same length in a list", ok + "Content-Length: 5, 5\r\n\r\n", "GET", Length, 5, true},
		{"neither", ok + "\r\n", "GET", UntilClose, 0, false},
		{"neither, with keep-alive", ok + "Connection: keep-alive\r\n\r\n", "GET", UntilClose, 0, false},
		{"chunked", ok + "Transfer-Encoding: Chunked\r\n\r\n", "GET", Chunked, 0, true},
		{"chunked over gzip", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", "GET", Chunked, 0, true},
		{"chunked over gzip on two lines", ok + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Chunked, 0, true},
		{"gzip alone", ok + "Transfer-Encoding: gzip\r\n\r\n", "GET", UntilClose, 0, false},
		{"identity", ok + "Transfer-Encoding: identity\r\n\r\n", "GET", UntilClose, 0, false},
		{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", UntilClose, 0, false},
		{"to HEAD, with a length", ok + "Content-Length: 5\r\n\r\n", "HEAD", None, 0, true},
		{"to HEAD, chunked", ok + "Transfer-Encoding: chunked\r\n\r\n", "HEAD", None, 0, true},
		{"to HEAD, with nothing", ok + "\r\n", "HEAD", None, 0, true},
		{"to HEAD, with two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "HEAD", None, 0, true},
		{"100", "HTTP/1.1 100 Continue\r\n\r\n", "POST", None, 0, true},
		{"103 with a field", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", "GET", None, 0, true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", "GET", None, 0, true},
		{"204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "GET", None, 0, true},
		{"204 with a length: its server may send that", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "GET", None, 0, false},
		{"204 with chunks: its server may send them", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", None, 0, false},
		{"205 with chunks", "HTTP/1.1 205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", Chunked, 0, true},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", None, 0, true},
		{"200 to CONNECT", ok + "Content-Length: 5\r\n\r\n", "CONNECT", None, 0, false},
		{"407 to CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", "CONNECT", Length, 5, true},

		{"no reason phrase", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"no space behind the code", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"obs-text in the reason phrase", "HTTP/1.1 200 \xc3\xa9\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"an unknown code", "HTTP/1.1 799 ?\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"lines that end with LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "GET", Length, 5, false},
		{"one line that ends with LF", ok + "Content-Length: 5\nX: a\r\n\r\n", "GET", Length, 5, false},
		{"an empty line of LF", ok + "Content-Length: 5\r\n\n", "GET", Length, 5, false},
		{"a status line that ends with LF", "HTTP/1.1 204 OK\n\r\n", "GET", None, 0, false},
		{"a folded length", ok + "Content-Length:\r\n 5\r\n\r\n", "GET", Length, 5, true},
		{"a space before the colon of the length", ok + "Content-Length : 5\r\n\r\n", "GET", Length, 5, true},
		{"a control byte in a value", ok + "X: a\x01b\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
		{"a space in a name", ok + "X Y: a\r\nContent-Length: 5\r\n\r\n", "GET", Length, 5, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Response
			n, err := r.Parse([]byte(tt.in), 0, []byte(tt.method))
			if err != nil || n != len(tt.in) {
				t.Fatalf("answered %d of %d bytes, %v", n, len(tt.in), err)
			}
			if r.Body != tt.want || r.Length != tt.length || r.Persistent != tt.persistent {
				t.Errorf("%v %d, persistent %v; want %v %d, persistent %v", r.Body, r.Length, r.Persistent, tt.want, tt.length, tt.persistent)
			}
		})
	}
}

func TestResponsesRefused(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	tests := []struct {
		name string
		in   string
		want Reason
	}{
		{"both lengths", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", BothLengths},
		{"both lengths with identity", ok + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n", BothLengths},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", RepeatedContentLength},
		{"a list of lengths", ok + "Content-Length: 5, 6\r\n\r\n", RepeatedContentLength},
		{"a wrong length behind a right one", ok + "Content-Length: 5\r\nContent-Length: x\r\n\r\n", BadContentLength},
		{"a negative length", ok + "Content-Length: -1\r\n\r\n", BadContentLength},
		{"chunked twice", ok + "Transfer-Encoding: chunked, chunked\r\n\r\n", BadTransferEncoding},
		{"chunked not last", ok + "Transfer-Encoding: chunked, gzip\r\n\r\n", BadTransferEncoding},
		{"an empty transfer coding", ok + "Transfer-Encoding:\r\n\r\n", BadTransferEncoding},
		{"CR in a value", ok + "X: a\rb\r\n\r\n", BareCR},
		{"CR in a folded line", ok + "X: a\r\n b\rc\r\n\r\n", BareCR},
		{"CR in the reason phrase", "HTTP/1.1 200 O\rK\r\n\r\n", BareCR},
		{"NUL in a value", ok + "X: a\x00b\r\n\r\n", BadFieldValue},
		{"NUL in a folded line", ok + "X: a\r\n \x00\r\n\r\n", BadFieldValue},
		{"NUL in the reason phrase", "HTTP/1.1 200 O\x00K\r\n\r\n", BadStatusLine},
		{"white space before the first field", ok + " X: a\r\n\r\n", LeadingSpace},
		{"an empty name", ok + ": a\r\n\r\n", EmptyFieldName},
		{"only a space as name", ok + "X: a\r\n\x01 : a\r\n\r\n", BadFieldName},
		{"no colon", ok + "X\r\n\r\n", MissingColon},
		{"a control byte in a name", ok + "Content-Length\x0b: 5\r\n\r\n", BadFieldName},
		{"an empty line first", "\r\n" + ok + "\r\n", BadStatusLine},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", BadStatusLine},
		{"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", BadStatusLine},
		{"http", "http/1.1 200 OK\r\n\r\n", BadStatusLine},
		{"two digits", "HTTP/1.1 20 OK\r\n\r\n", BadStatusLine},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", BadStatusLine},
		{"a code below 100", "HTTP/1.1 099 OK\r\n\r\n", BadStatusLine},
		{"a signed code", "HTTP/1.1 +20 OK\r\n\r\n", BadStatusLine},
		{"two spaces", "HTTP/1.1  200 OK\r\n\r\n", BadStatusLine},
		{"another protocol", "ICY 200 OK\r\n\r\n", BadStatusLine},
		{"a head larger than the limit", ok + "X: " + strings.Repeat("x", DefaultHeadLimit) + "\r\n\r\n", HeadTooLarge},
		{"too many fields", ok + strings.Repeat("a:\r\n", MaxFields+1) + "\r\n", TooManyFields},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Response
			n, err := r.Parse([]byte(tt.in), 0, []byte("GET"))
			if got, _ := ReasonOf(err); n != 0 || got != tt.want {
				t.Errorf("reason %q, want %q", got, tt.want)
			}
		})
	}
}

func TestResponsesAreMendedInPlace(t *testing.T) {
	tests := []struct {
		name     string
		in, want string
		value    string // of the first field
	}{
		{"a fold", "X: a\r\n b\r\n\r\n", "X: a   b\r\n\r\n", "a   b"},
		{"a fold by tabs", "X: a\r\n\t\tb\r\n\r\n", "X: a  \t\tb\r\n\r\n", "a  \t\tb"},
		{"three folds", "X: a\r\n b\r\n c\r\n d\r\n\r\n", "X: a   b   c   d\r\n\r\n", "a   b   c   d"},
		{"a fold of nothing", "X: a\r\n \r\nY: b\r\n\r\n", "X: a   \r\nY: b\r\n\r\n", "a"},
		{"a fold behind an empty value", "X:\r\n a\r\n\r\n", "X:   a\r\n\r\n", "a"},
		{"a fold behind LF", "X: a\n b\r\n\r\n", "X: a  b\r\n\r\n", "a  b"},
		{"a space before the colon", "X : a\r\n\r\n", "X:  a\r\n\r\n", "a"},
		{"spaces and tabs before the colon", "X \t :a\r\n\r\n", "X:   a\r\n\r\n", "a"},
		{"a space before the colon and a fold", "X : a\r\n b\r\n\r\n", "X:  a   b\r\n\r\n", "a   b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const line = "HTTP/1.1 204 OK\r\n"
			var r Response
			if _, err := r.Parse([]byte(line+tt.in), 0, nil); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(string(r.Head), line); got != tt.want {
				t.Errorf("head %q, want %q", got, tt.want)
			}
			if f := r.Fields[0]; string(f.Value) != tt.value || string(f.Name) != "X" {
				t.Errorf("field %q: %q, want X: %q", f.Name, f.Value, tt.value)
			}
		})
	}
}

func TestTunnels(t *testing.T) {
	const websocket = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	tests := []struct {
		name              string
		request, response string
		tunnel, interim   bool
		want              Reason
	}{
		{"101 to an upgrade", websocket, "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n", true, false, reasonNone},
		{"101 without Upgrade", websocket, "HTTP/1.1 101 Go\r\n\r\n", true, false, reasonNone},
		{"200 to an upgrade", websocket, "HTTP/1.1 200 OK\r\n\r\n", false, false, reasonNone},
		{"100 before it", websocket, "HTTP/1.1 100 Continue\r\n\r\n", false, true, reasonNone},
		{"101 that was not asked for", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 101 Go\r\n\r\n", false, false, UnaskedUpgrade},
		{"101 where Connection did not name Upgrade", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 Go\r\n\r\n", false, false, UnaskedUpgrade},
		{"101 to HTTP/1.0", "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101 Go\r\n\r\n", false, false, UnaskedUpgrade},
		{"101 to h2c", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
			"HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n", false, false, UnaskedUpgrade},
		{"101 to h2c where another was asked for", websocket, "HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n", false, false, UnaskedUpgrade},
		{"200 to CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", true, false, reasonNone},
		{"403 to CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", false, false, reasonNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var q Request
			if _, err := q.Parse([]byte(tt.request), 0); err != nil {
				t.Fatal(err)
			}
			var r Response
			if _, err := r.Parse([]byte(tt.response), 0, q.Method); err != nil {
				t.Fatal(err)
			}
			tunnel, err := r.Tunnel(&q)
			if got, _ := ReasonOf(err); tunnel != tt.tunnel || got != tt.want || r.Interim() != tt.interim {
				t.Errorf("tunnel %v, reason %q, interim %v; want %v, %q, %v", tunnel, got, r.Interim(), tt.tunnel, tt.want, tt.interim)
			}
		})
	}
}

func BenchmarkResponse(b *testing.B) {
	rows := map[string]string{
		"from nginx": "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 20 Nov 2025 22:09:00 GMT\r\nContent-Type: text/html\r\n" +
			"Content-Length: 612\r\nLast-Modified: Tue, 18 Nov 2025 10:00:00 GMT\r\nConnection: keep-alive\r\nETag: \"673b0d40-264\"\r\nAccept-Ranges: bytes\r\n\r\n",
		"from Go": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 20 Nov 2025 22:09:00 GMT\r\nContent-Length: 172\r\n\r\n",
	}
	for name, head := range rows {
		b.Run(name, func(b *testing.B) {
			in := []byte(head)
			get := []byte("GET")
			var r Response
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if n, err := r.Parse(in, 0, get); n != len(in) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
