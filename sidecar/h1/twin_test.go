package h1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// net/http reads every message we accept, too: where it does, it must find the same end. It refuses some of them (targets
// that are no URL, for instance), which harms nobody.

// ourRequest answers a request's body and what follows it as we frame them, and whether both are complete.
func ourRequest(r *Request, in []byte) (body string, rest []byte, ok bool) {
	n, err := r.Parse(in, 0)
	if n == 0 || err != nil {
		return "", nil, false
	}
	return ourBody(r.Body, r.Length, in[n:], false)
}

func ourBody(f Framing, length int64, in []byte, response bool) (body string, rest []byte, ok bool) {
	switch f {
	case Length:
		if int64(len(in)) < length {
			return "", nil, false
		}
		return string(in[:length]), in[length:], true
	case Chunked:
		var c Chunks
		c.Reset(0, response)
		n, done, err := c.Scan(in)
		if !done || err != nil {
			return "", nil, false
		}
		return dechunk(in[:n]), in[n:], true
	case UntilClose:
		return string(in), nil, true
	}
	return "", in, true
}

// dechunk decodes a chunked body that is known to be right.
func dechunk(in []byte) string {
	var out []byte
	for {
		line, rest, _ := bytes.Cut(in, []byte("\r\n"))
		var n int
		fmt.Sscanf(string(line), "%x", &n)
		if n == 0 {
			return string(out)
		}
		out = append(out, rest[:n]...)
		in = rest[n+2:]
	}
}

// checkTwinRequest compares our reading of in with net/http's, and reports whether both accept it.
func checkTwinRequest(t *testing.T, in []byte) bool {
	t.Helper()
	var r Request
	body, rest, ok := ourRequest(&r, in)
	if !ok {
		return false
	}
	br := bufio.NewReader(bytes.NewReader(in[len(in)-len(bytes.TrimLeft(in, "\r\n")):]))
	theirs, err := http.ReadRequest(br)
	if err != nil {
		return false
	}
	theirBody, err := io.ReadAll(theirs.Body)
	if err != nil {
		return false
	}
	theirRest, _ := io.ReadAll(br)
	if theirs.Method != string(r.Method) || theirs.RequestURI != string(r.Target) || theirs.ProtoMinor != int(r.Minor) {
		t.Fatalf("request line of %q: ours %q %q 1.%d, theirs %q %q 1.%d", in, r.Method, r.Target, r.Minor, theirs.Method, theirs.RequestURI, theirs.ProtoMinor)
	}
	if string(theirBody) != body || !bytes.Equal(theirRest, rest) {
		t.Fatalf("framing of %q:\n  ours %q, then %q\ntheirs %q, then %q", in, body, rest, theirBody, theirRest)
	}
	if r.Minor == 1 && !theirs.Close != r.Persistent {
		t.Fatalf("persistence of %q: ours %v, theirs %v", in, r.Persistent, !theirs.Close)
	}
	return true
}

// checkTwinResponse compares our reading of an answer to method with net/http's, and reports whether both accept it.
func checkTwinResponse(t *testing.T, in []byte, method string) bool {
	t.Helper()
	in = bytes.Clone(in)
	original := bytes.Clone(in)
	var r Response
	n, err := r.Parse(in, 0, []byte(method))
	if n == 0 || err != nil || r.Status == 101 || r.connect {
		return false
	}
	body, rest, ok := ourBody(r.Body, r.Length, in[n:], true)
	if !ok {
		return false
	}
	// net/http reads what we forward.
	br := bufio.NewReader(bytes.NewReader(in))
	theirs, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		return false
	}
	if theirs.ProtoMinor == 0 && len(theirs.TransferEncoding) == 0 && len(theirs.Header["Transfer-Encoding"]) > 0 {
		return false // it takes Transfer-Encoding in HTTP/1.0 for nothing special; we read to the end and close
	}
	theirBody, err := io.ReadAll(theirs.Body)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && ok {
			t.Fatalf("framing of %q: ours %q, theirs is not complete", original, body)
		}
		return false
	}
	theirRest, _ := io.ReadAll(br)
	if string(theirBody) != body || !bytes.Equal(theirRest, rest) {
		t.Fatalf("framing of %q to %s:\n  ours %q, then %q\ntheirs %q, then %q", original, method, body, rest, theirBody, theirRest)
	}
	if theirs.StatusCode != r.Status {
		t.Fatalf("status of %q: ours %d, theirs %d", original, r.Status, theirs.StatusCode)
	}
	if r.Persistent && theirs.Close && r.Minor == 1 {
		t.Fatalf("persistence of %q: ours %v, theirs %v", original, r.Persistent, !theirs.Close)
	}
	return true
}

// messages makes messages out of right and wrong pieces, mostly right ones.
type messages struct{ *rand.Rand }

func (m messages) one(of ...string) string { return of[m.IntN(len(of))] }

// odd answers the first piece mostly, and one of the others now and then.
func (m messages) odd(usual string, others ...string) string {
	if m.IntN(12) > 0 {
		return usual
	}
	return m.one(others...)
}

func (m messages) field() string {
	name := m.one("Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING", "Connection", "X-A", "Trailer",
		"Content_Length", "Expect", "Upgrade", "Cookie", "Content-Length ", "Transfer-Encoding\t", "\tX", "Content-Lengt\x00")
	value := m.one("5", "0", "005", "5, 5", "+5", "-1", "6", "chunked", "Chunked", "gzip, chunked", "chunked, chunked", "chunked,", "identity",
		"close", "keep-alive", "Keep-Alive, Upgrade", "a", "", "\x0bchunked", "chunked\x00", "9223372036854775807", "h2c", "websocket", "X-A")
	switch strings.ToLower(name) {
	case "content-length":
		value = m.odd(m.one("5", "5", "11", "0"), value)
	case "transfer-encoding":
		value = m.odd("chunked", value)
	}
	return name + m.odd(":", " :", "") + m.odd(" ", "", "\t", "  ", "\r\n ") + value + m.odd("", " ", "\t") + m.odd("\r\n", "\n", "\r", "\r\r\n", "")
}

func (m messages) fields() string {
	var s strings.Builder
	for range m.IntN(4) {
		s.WriteString(m.field())
	}
	return s.String() + m.odd("\r\n", "\n", "\r", "")
}

func (m messages) body() string {
	return m.one("", "hello", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nX-A: b\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "0\r\n\r\n",
		"0005\r\nhello\r\n000\r\n\r\n", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n",
		"hello world", "5\r\nhello0\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n") + m.one("", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
}

func (m messages) request() string {
	return m.odd("", "\r\n", "\r\n\r\n", "\n") + m.odd(m.one("GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT"), "G@T", "get", "", " GET") +
		m.odd(" ", "  ", "\t") + m.odd(m.one("/", "/a?b=c", "*", "http://a/b", "a:443"), "", "/a b", "/\x00", "/\xff", "b") +
		m.odd(" ", "  ", "\t") + m.odd(m.one("HTTP/1.1", "HTTP/1.0"), "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "") +
		m.odd("\r\n", "\n", "\r") + m.odd("Host: a\r\n", "", "Host: a\r\nHost: b\r\n", "Host: a/b\r\n", " Host: a\r\n") + m.fields() + m.body()
}

func (m messages) response() string {
	return m.odd(m.one("HTTP/1.1", "HTTP/1.0"), "HTTP/1.2", "ICY", "http/1.1") + m.odd(" ", "  ") +
		m.odd(m.one("200", "204", "304", "404", "500", "100", "205", "407"), "20", "2000", "-10", "0200") +
		m.odd(" OK", "", " ", " a\rb", "OK") + m.odd("\r\n", "\n", "\r") + m.fields() + m.body()
}

func TestNetHTTPFramesRequestsAsWeDo(t *testing.T) {
	const rounds = 100_000
	m := messages{rand.New(rand.NewPCG(1, 2))}
	var both int
	for range rounds {
		if checkTwinRequest(t, []byte(m.request())) {
			both++
		}
	}
	// Were nearly everything refused, this would prove nothing.
	if both < rounds/50 {
		t.Errorf("only %d of %d messages were accepted by both", both, rounds)
	}
	t.Logf("%d of %d messages accepted by both", both, rounds)
}

func TestNetHTTPFramesResponsesAsWeDo(t *testing.T) {
	const rounds = 100_000
	m := messages{rand.New(rand.NewPCG(3, 4))}
	var both int
	for range rounds {
		if checkTwinResponse(t, []byte(m.response()), m.one("GET", "HEAD", "POST")) {
			both++
		}
	}
	if both < rounds/50 {
		t.Errorf("only %d of %d messages were accepted by both", both, rounds)
	}
	t.Logf("%d of %d messages accepted by both", both, rounds)
}
