package h1

import (
	"bytes"
	"testing"
)

func TestRequestsLeaveForAPersistentConnection(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	const get10 = "GET / HTTP/1.0\r\nHost: a\r\n"
	tests := []struct {
		name     string
		in, want string // want "": unchanged, in one segment
	}{
		{"1.1", get + "\r\n", ""},
		{"1.1 with keep-alive", get + "Connection: Keep-Alive\r\n\r\n", ""},
		{"1.1 with other options", get + "Connection: TE, X-Foo\r\nTE: trailers\r\n\r\n", ""},
		{"1.1 with close", get + "Connection: close\r\nX: y\r\n\r\n", get + "X: y\r\n\r\n"},
		{"1.1 with close as the first field", "GET / HTTP/1.1\r\nConnection: Close\r\nHost: a\r\n\r\n", get + "\r\n"},
		{"1.1 with close and another option", get + "connection:  close ,TE\r\nX: y\r\n\r\n", get + "connection: TE\r\nX: y\r\n\r\n"},
		{"1.1 with close and keep-alive", get + "Connection: keep-alive, close\r\n\r\n", get + "Connection: keep-alive\r\n\r\n"},
		{"1.1 with close on a second line", get + "Connection: TE\r\nConnection: close\r\n\r\n", get + "Connection: TE\r\n\r\n"},
		{"1.1 with close twice", get + "Connection: close\r\nX: y\r\nConnection: close\r\n\r\n", get + "X: y\r\n\r\n"},
		{"1.1 with close in another field", get + "Proxy-Connection: close\r\nX-Connection: close\r\n\r\n", ""},
		{"1.0", get10 + "\r\n", get10 + "Connection: keep-alive\r\n\r\n"},
		{"1.0 without fields", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"},
		{"1.0 with keep-alive", get10 + "Connection: Keep-Alive\r\n\r\n", ""},
		{"1.0 with close", get10 + "Connection: close\r\n\r\n", get10 + "Connection: keep-alive\r\n\r\n"},
		{"1.0 with close and keep-alive", get10 + "Connection: close, keep-alive\r\n\r\n", get10 + "Connection: keep-alive\r\n\r\n"},
		{"1.0 with another option", get10 + "Connection: X\r\nX: y\r\n\r\n", get10 + "Connection: X, keep-alive\r\nX: y\r\n\r\n"},
		{"1.0 with close before another field", get10 + "Connection: close\r\nX: y\r\n\r\n", get10 + "Connection: keep-alive\r\nX: y\r\n\r\n"},
		{"1.0 with an empty Connection", get10 + "Connection:\r\n\r\n", get10 + "Connection: keep-alive\r\n\r\n"},
		{"websocket", get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"websocket with close", get + "Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
			get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"h2c as Java's client has it", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\nX: y\r\n\r\n",
			get + "X: y\r\n\r\n"},
		{"h2c with keep-alive", get + "connection: keep-alive, upgrade, http2-settings\r\nhttp2-settings: AA\r\nupgrade: H2C\r\n\r\n",
			get + "connection: keep-alive\r\n\r\n"},
		{"h2c and websocket", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c,websocket\r\nHTTP2-Settings: AA\r\n\r\n",
			get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"h2c and websocket on two lines", get + "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
			get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"h2c that Connection does not name", get + "Upgrade: h2c\r\n\r\n", get + "\r\n"},
		{"h2c under its other names", get + "Upgrade: h2, h2c-14, HTTP/2.0, h2x\r\n\r\n", get + "Upgrade: h2x\r\n\r\n"},
		{"h2c in 1.0", get10 + "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", get10 + "Connection: keep-alive\r\n\r\n"},
		{"settings without an upgrade", get + "HTTP2-Settings: AA\r\nConnection: http2-settings\r\n\r\n", get + "\r\n"},
		{"settings with another upgrade", get + "Connection: Upgrade\r\nUpgrade: websocket\r\nHTTP2-Settings: AA\r\n\r\n",
			get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"empty lines before it", "\r\n" + get + "Connection: close\r\n\r\n", get + "\r\n"},
		{"a body behind it", get + "Connection: close\r\nContent-Length: 1\r\n\r\n", get + "Content-Length: 1\r\n\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Request
			if _, err := r.Parse([]byte(tt.in+"x"), 0); err != nil {
				t.Fatal(err)
			}
			segs, _ := r.AppendUpstream(nil, nil)
			checkSegments(t, segs, r.Head, tt.want)
			checkUpstream(t, &r)
		})
	}
}

// checkSegments compares segments with what they should say together, "" for the head unchanged.
func checkSegments(t *testing.T, segs [][]byte, head []byte, want string) {
	t.Helper()
	if want == "" {
		if len(segs) != 1 || &segs[0][0] != &head[0] || len(segs[0]) != len(head) {
			t.Errorf("got %q, want the head itself", segs)
		}
		return
	}
	if got := string(bytes.Join(segs, nil)); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, s := range segs {
		if len(s) == 0 {
			t.Errorf("an empty segment in %q", segs)
		}
	}
}

// checkUpstream checks what must hold of whatever AppendUpstream makes of an accepted request: it is accepted again, with
// the same framing, asks for persistence and not for HTTP/2, and all other fields are as they were.
func checkUpstream(t *testing.T, r *Request) {
	t.Helper()
	segs, _ := r.AppendUpstream(nil, nil)
	out := bytes.Join(segs, nil)
	var again Request
	n, err := again.Parse(out, 1<<20)
	if err != nil || n != len(out) {
		t.Fatalf("%q became %q: %d, %v", r.Head, out, n, err)
	}
	if !again.Persistent || again.h2c || again.h2set || again.Body != r.Body || again.Length != r.Length || again.Minor != r.Minor ||
		string(again.Upgrade) != string(r.Upgrade) && !r.h2c || (again.Upgrade == nil) != (r.Upgrade == nil) {
		t.Fatalf("%q became %q", r.Head, out)
	}
	before, after := others(r.Head, r.Fields), others(again.Head, again.Fields)
	if before != after {
		t.Fatalf("other fields changed from %q to %q", before, after)
	}
	if !bytes.Equal(r.Head[:len(r.Method)+len(r.Target)+12], out[:len(r.Method)+len(r.Target)+12]) {
		t.Fatalf("%q became %q", r.Head, out)
	}
	if segs, _ := again.AppendUpstream(nil, nil); len(segs) != 1 {
		t.Fatalf("%q is changed again to %q", out, segs)
	}
}

// others are the lines of the fields that are not edited, as they stand in head.
func others(head []byte, fields []Field) string {
	var b []byte
	for _, f := range fields {
		if !equalFold(f.Name, "connection") && !equalFold(f.Name, "upgrade") && !equalFold(f.Name, "http2-settings") {
			b = append(b, head[f.Start:f.End]...)
		}
	}
	return string(b)
}

func TestResponsesSayWhatTheClientGets(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
	const ok10 = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n"
	tests := []struct {
		name     string
		minor    uint8
		keepOpen bool
		in, want string // want "": unchanged, in one segment
	}{
		{"1.1 stays open", 1, true, ok + "\r\n", ""},
		{"1.1 stays open, with keep-alive", 1, true, ok + "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n", ""},
		{"1.1 stays open though the server closes", 1, true, ok + "Connection: close\r\nX: y\r\n\r\n", ok + "X: y\r\n\r\n"},
		{"1.1 stays open, with close and more", 1, true, ok + "Connection: close, Upgrade\r\nX: y\r\n\r\n", ok + "Connection: Upgrade\r\nX: y\r\n\r\n"},
		{"1.1 stays open with a server of 1.0", 1, true, ok10 + "\r\n", ok10 + "Connection: keep-alive\r\n\r\n"},
		{"1.1 closes", 1, false, ok + "\r\n", ok + "Connection: close\r\n\r\n"},
		{"1.1 closes, with close", 1, false, ok + "Connection: close\r\n\r\n", ""},
		{"1.1 closes, with keep-alive", 1, false, ok + "Connection: keep-alive\r\nX: y\r\n\r\n", ok + "Connection: close\r\nX: y\r\n\r\n"},
		{"1.1 closes, with another option", 1, false, ok + "Connection: Upgrade\r\nX: y\r\n\r\n", ok + "Connection: Upgrade, close\r\nX: y\r\n\r\n"},
		{"1.1 closes with a server of 1.0", 1, false, ok10 + "\r\n", ""},
		{"1.1 closes with a server of 1.0 that keeps alive", 1, false, ok10 + "Connection: keep-alive\r\n\r\n", ok10 + "\r\n"},
		{"1.0 stays open", 0, true, ok + "\r\n", ok + "Connection: keep-alive\r\n\r\n"},
		{"1.0 stays open, with keep-alive", 0, true, ok10 + "Connection: keep-alive\r\n\r\n", ""},
		{"1.0 stays open though the server closes", 0, true, ok + "Connection: close\r\n\r\n", ok + "Connection: keep-alive\r\n\r\n"},
		{"1.0 closes", 0, false, ok + "\r\n", ""},
		{"1.0 closes, with keep-alive", 0, false, ok10 + "Connection: Keep-Alive\r\nX: y\r\n\r\n", ok10 + "X: y\r\n\r\n"},
		{"1.0 closes, with close", 0, false, ok + "Connection: close\r\n\r\n", ""},
		{"100", 1, false, "HTTP/1.1 100 Continue\r\n\r\n", ""},
		{"101", 1, false, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", ""},
		{"no fields", 1, false, "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
		{"line ends of LF", 1, false, "HTTP/1.1 200 OK\nContent-Length: 5\n\n", "HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\r\n\r\n"},
		{"line ends of LF with keep-alive", 1, false, "HTTP/1.1 200 OK\nConnection: keep-alive\nX: y\n\n", "HTTP/1.1 200 OK\nConnection: close\r\nX: y\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Response
			if _, err := r.Parse([]byte(tt.in), 0, []byte("GET")); err != nil {
				t.Fatal(err)
			}
			segs, _ := r.AppendDownstream(nil, nil, tt.minor, tt.keepOpen)
			checkSegments(t, segs, r.Head, tt.want)
			checkDownstream(t, &r, []byte("GET"))
		})
	}
}

// checkDownstream checks what must hold of whatever AppendDownstream makes of an accepted response.
func checkDownstream(t *testing.T, r *Response, method []byte) {
	t.Helper()
	for minor := range uint8(2) {
		for _, keepOpen := range []bool{false, true} {
			segs, _ := r.AppendDownstream(nil, nil, minor, keepOpen)
			out := bytes.Join(segs, nil)
			var again Response
			n, err := again.Parse(out, 1<<20, method)
			if err != nil || n != len(out) {
				t.Fatalf("%q became %q: %d, %v", r.Head, out, n, err)
			}
			if again.Body != r.Body || again.Length != r.Length || again.Status != r.Status || again.Minor != r.Minor {
				t.Fatalf("%q became %q", r.Head, out)
			}
			if before, after := others(r.Head, r.Fields), others(again.Head, again.Fields); before != after {
				t.Fatalf("other fields changed from %q to %q", before, after)
			}
			if r.Status < 200 || r.connect {
				continue
			}
			// What a client of that version makes of it: RFC 9112, section 9.3.
			open := again.options.persistent(min(minor, again.Minor))
			if open != keepOpen {
				t.Fatalf("a client of 1.%d takes %q as open: %v, want %v", minor, out, open, keepOpen)
			}
			if keepOpen && again.options&optClose != 0 {
				t.Fatalf("%q became %q", r.Head, out)
			}
		}
	}
}

func BenchmarkAppendUpstream(b *testing.B) {
	for name, head := range map[string]string{
		"unchanged":      typicalRequest,
		"close":          "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: */*\r\n\r\n",
		"1.0 without -k": "GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			var r Request
			if _, err := r.Parse([]byte(head), 0); err != nil {
				b.Fatal(err)
			}
			segs, scratch := make([][]byte, 0, 8), make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				segs, scratch = r.AppendUpstream(segs[:0], scratch[:0])
			}
		})
	}
}
