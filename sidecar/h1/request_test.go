package h1

import (
	"strings"
	"testing"
)

// typicalRequest is what a browser-like client sends: ten fields.
const typicalRequest = "GET /api/v1/accounts/4711/orders?page=2&sort=date HTTP/1.1\r\n" +
	"Host: orders.shop.svc.cluster.local:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n" +
	"Accept: application/json, text/plain, */*\r\n" +
	"Accept-Encoding: gzip, deflate, br\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: session=2f0f5a1c9d3e4b7a8c6d; theme=dark\r\n" +
	"X-Request-Id: 0b7f6f0e-5a1f-4a55-8c52-3f6f1f0f7f11\r\n" +
	"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n" +
	"Cache-Control: no-cache\r\n" +
	"\r\n"

func TestRequestVerdicts(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n"
	tests := []struct {
		name string
		in   string
		want Reason // reasonNone: accepted
	}{
		{"a typical request", typicalRequest, reasonNone},
		{"no fields in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", reasonNone},
		{"four empty lines before it", "\r\n\r\n\r\n\r\n" + get + "\r\n", reasonNone},
		{"five empty lines before it", "\r\n\r\n\r\n\r\n\r\n" + get + "\r\n", TooManyEmptyLines},
		{"an LF before it", "\n" + get + "\r\n", BareLF},
		{"an unknown method", "Fr0b-!#$%&'*+.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", reasonNone},
		{"absolute form", "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", reasonNone},
		{"authority form", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", reasonNone},
		{"asterisk form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", reasonNone},
		{"a path as Go's net/rpc connects", "CONNECT /_goRPC_ HTTP/1.0\r\n\r\n", reasonNone},
		{"obs-text in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", reasonNone},
		{"obs-text in a value", get + "X: \x80\xff\r\n\r\n", reasonNone},
		{"tabs in a value", get + "X:\t a\tb \t\r\n\r\n", reasonNone},
		{"an empty value", get + "X:\r\nY: \r\n\r\n", reasonNone},
		{"an underscore in a name", get + "Content_Length: 5\r\n\r\n", reasonNone},

		{"no version", "GET /\r\n\r\n", BadRequestLine},
		{"no target", "GET HTTP/1.1\r\n\r\n", BadRequestLine},
		{"an empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
		{"two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
		{"two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
		{"a space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BadRequestLine},
		{"a space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequestLine},
		{"a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
		{"a tab in the target", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
		{"NUL in the target", "GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
		{"DEL in the target", "GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", BadTarget},
		{"a control byte in the method", "G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod},
		{"a tab behind the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BadMethod},
		{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", UnsupportedVersion},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", UnsupportedVersion},
		{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", UnsupportedVersion},
		{"HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", BadVersion},
		{"http in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", BadVersion},
		{"another protocol", "GET / ICE/1.0\r\nHost: a\r\n\r\n", BadVersion},
		{"LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", BareLF},
		{"CR behind the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", BareCR},
		{"CR in the target", "GET /\rb HTTP/1.1\r\nHost: a\r\n\r\n", BareCR},

		{"LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", BareLF},
		{"LF as the empty line", get + "\n", BareLF},
		{"CR in a value", get + "X: a\rb\r\n\r\n", BareCR},
		{"CR CR LF", get + "X: a\r\r\n\r\n", BareCR},
		{"CR in a name", get + "X\r: a\r\n\r\n", BareCR},
		{"CR between head and body", get + "\rb\r\n\r\n", BareCR},
		{"NUL in a value", get + "X: a\x00b\r\n\r\n", BadFieldValue},
		{"a control byte in a value", get + "X: a\x1fb\r\n\r\n", BadFieldValue},
		{"DEL in a value", get + "X: a\x7fb\r\n\r\n", BadFieldValue},
		{"a folded value", get + "X: a\r\n b\r\n\r\n", ObsFold},
		{"a value folded by a tab", get + "X: a\r\n\tb\r\n\r\n", ObsFold},
		{"an empty folded line", get + "X: a\r\n \r\n\r\n", ObsFold},
		{"white space before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", LeadingSpace},
		{"a space before the colon", get + "X : a\r\n\r\n", SpaceBeforeColon},
		{"a tab before the colon", get + "X\t: a\r\n\r\n", SpaceBeforeColon},
		{"an empty name", get + ": a\r\n\r\n", EmptyFieldName},
		{"no colon", get + "X\r\n\r\n", MissingColon},
		{"a space in a name", get + "X Y: a\r\n\r\n", BadFieldName},
		{"a control byte in a name", get + "X\x01: a\r\n\r\n", BadFieldName},
		{"NUL before a name", get + "\x00X: a\r\n\r\n", BadFieldName},
		{"obs-text in a name", get + "X\xa0: a\r\n\r\n", BadFieldName},

		{"no Host in 1.1", "GET / HTTP/1.1\r\n\r\n", MissingHost},
		{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", reasonNone},
		{"two Hosts", get + "hOST: a\r\n\r\n", RepeatedHost},
		{"two empty Hosts in 1.0", "GET / HTTP/1.0\r\nHost:\r\nHost:\r\n\r\n", RepeatedHost},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost},
		{"a Host with user info", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BadHost},
		{"a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BadHost},
		{"an IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", reasonNone},

		{"both lengths", get + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", BothLengths},
		{"both lengths, the other way round", get + "Transfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n", BothLengths},
		{"both lengths, length 0", get + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", BothLengths},
		{"two lengths", get + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", RepeatedContentLength},
		{"two equal lengths", get + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", RepeatedContentLength},
		{"a list of equal lengths", get + "Content-Length: 5, 5\r\n\r\n", BadContentLength},
		{"an empty length", get + "Content-Length:\r\n\r\n", BadContentLength},
		{"a length with a plus", get + "Content-Length: +5\r\n\r\n", BadContentLength},
		{"a length with a minus", get + "Content-Length: -5\r\n\r\n", BadContentLength},
		{"a hexadecimal length", get + "Content-Length: 0x5\r\n\r\n", BadContentLength},
		{"a length with a space", get + "Content-Length: 5 5\r\n\r\n", BadContentLength},
		{"a length with a decimal point", get + "Content-Length: 5.0\r\n\r\n", BadContentLength},
		{"the greatest length", get + "Content-Length: 9223372036854775807\r\n\r\n", reasonNone},
		{"a length of 2^63", get + "Content-Length: 9223372036854775808\r\n\r\n", BadContentLength},
		{"a length of 2^64+5", get + "Content-Length: 18446744073709551621\r\n\r\n", BadContentLength},
		{"a length with leading zeros", get + "Content-Length: 0005\r\n\r\n", reasonNone},
		{"a length in 1.0", "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", reasonNone},

		{"chunked", get + "Transfer-Encoding: chunked\r\n\r\n", reasonNone},
		{"chunked in capitals and tabs", get + "TRANSFER-ENCODING:\tCHUNKED \r\n\r\n", reasonNone},
		{"chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncodingInHTTP10},
		{"chunked twice", get + "Transfer-Encoding: chunked, chunked\r\n\r\n", BadTransferEncoding},
		{"chunked on two lines", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", BadTransferEncoding},
		{"chunked first", get + "Transfer-Encoding: chunked, gzip\r\n\r\n", BadTransferEncoding},
		{"chunked first on two lines", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", BadTransferEncoding},
		{"chunked with a parameter", get + "Transfer-Encoding: chunked;a=b\r\n\r\n", BadTransferEncoding},
		{"chunked with an empty element", get + "Transfer-Encoding: chunked,\r\n\r\n", BadTransferEncoding},
		{"chunked behind an empty element", get + "Transfer-Encoding: ,chunked\r\n\r\n", BadTransferEncoding},
		{"chunked in quotes", get + "Transfer-Encoding: \"chunked\"\r\n\r\n", BadTransferEncoding},
		{"an empty transfer coding", get + "Transfer-Encoding:\r\n\r\n", BadTransferEncoding},
		{"identity", get + "Transfer-Encoding: identity\r\n\r\n", BadTransferEncoding},
		{"xchunked", get + "Transfer-Encoding: xchunked\r\n\r\n", BadTransferEncoding},
		{"gzip below chunked", get + "Transfer-Encoding: gzip, chunked\r\n\r\n", UnknownTransferCoding},
		{"gzip below chunked on two lines", get + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", UnknownTransferCoding},
		{"CONNECT with a length", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", BodyOnConnect},
		{"CONNECT with chunks", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", BodyOnConnect},
		{"CONNECT with length 0", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", reasonNone},

		{"a thousand fields", get + strings.Repeat("a:\r\n", MaxFields-1) + "\r\n", reasonNone},
		{"more fields than are allowed", get + strings.Repeat("a:\r\n", MaxFields) + "\r\n", TooManyFields},
		{"more odd fields than are allowed", get + strings.Repeat("a:\t\r\n", MaxFields) + "\r\n", TooManyFields},
		{"a head larger than the limit", get + "X: " + strings.Repeat("x", DefaultHeadLimit) + "\r\n\r\n", HeadTooLarge},
		{"a target larger than the limit", "GET /" + strings.Repeat("x", DefaultHeadLimit) + " HTTP/1.1\r\nHost: a\r\n\r\n", LineTooLong},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r Request
			n, err := r.Parse([]byte(tt.in), 0)
			got, _ := ReasonOf(err)
			if got != tt.want {
				t.Fatalf("reason %q, want %q", got, tt.want)
			}
			if tt.want == reasonNone && n != len(tt.in) {
				t.Errorf("head of %d bytes, want %d", n, len(tt.in))
			}
		})
	}
}

func TestWhatARequestAsksFor(t *testing.T) {
	const get = "GET /a HTTP/1.1\r\nHost: b\r\n"
	const get10 = "GET /a HTTP/1.0\r\nHost: b\r\n"
	type asked struct {
		body                       Framing
		length                     int64
		persistent, expectContinue bool
		upgrade                    string
	}
	tests := []struct {
		name string
		in   string
		want asked
	}{
		{"1.1", get, asked{persistent: true}},
		{"1.1 with close", get + "Connection: Close\r\n", asked{}},
		{"1.1 with close among others", get + "Connection: keep-alive , CLOSE\t,TE\r\n", asked{}},
		{"1.1 with close on a second line", get + "Connection: keep-alive\r\nConnection: close\r\n", asked{}},
		{"1.1 with closed", get + "Connection: closed\r\n", asked{persistent: true}},
		{"1.1 with close in quotes", get + "Connection: \"close\"\r\n", asked{persistent: true}},
		{"1.1 with close in another field", get + "Proxy-Connection: close\r\n", asked{persistent: true}},
		{"1.0", get10, asked{}},
		{"1.0 with keep-alive", get10 + "Connection: Keep-Alive\r\n", asked{persistent: true}},
		{"1.0 with keep-alive and close", get10 + "Connection: keep-alive, close\r\n", asked{}},
		{"a length", get + "Content-Length: 0012\r\n", asked{body: Length, length: 12, persistent: true}},
		{"length 0", get + "Content-Length: 0\r\n", asked{persistent: true}},
		{"chunks", get + "Transfer-Encoding: chunked\r\n", asked{body: Chunked, persistent: true}},
		{"100-continue", get + "Expect: 100-Continue\r\nContent-Length: 1\r\n", asked{body: Length, length: 1, persistent: true, expectContinue: true}},
		{"100-continue in 1.0", get10 + "Expect: 100-continue\r\n", asked{}},
		{"another expectation", get + "Expect: tea\r\n", asked{persistent: true}},
		{"websocket", get + "Connection: Upgrade\r\nUpgrade: websocket\r\n", asked{persistent: true, upgrade: "websocket"}},
		{"websocket that Connection does not name", get + "Upgrade: websocket\r\n", asked{persistent: true}},
		{"websocket in 1.0", get10 + "Connection: Upgrade, keep-alive\r\nUpgrade: websocket\r\n", asked{persistent: true}},
		{"Connection names what is not there", get + "Connection: Upgrade\r\n", asked{persistent: true}},
		{"h2c", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", asked{persistent: true}},
		{"h2c and two others", get + "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: x/1\r\nUpgrade: y\r\n", asked{persistent: true, upgrade: "x/1"}},
	}
	var r Request // used again, so that nothing may be left over
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := r.Parse([]byte(tt.in+"\r\n"), 0); err != nil {
				t.Fatal(err)
			}
			got := asked{r.Body, r.Length, r.Persistent, r.ExpectContinue, string(r.Upgrade)}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if string(r.Method) != "GET" || string(r.Target) != "/a" || string(r.Host) != "b" {
				t.Errorf("%s %s of %s", r.Method, r.Target, r.Host)
			}
		})
	}
}

func TestResetForgetsTheBufferAndKeepsTheFields(t *testing.T) {
	var r Request
	if _, err := r.Parse([]byte(typicalRequest), 0); err != nil {
		t.Fatal(err)
	}
	kept := r.Fields
	r.Reset()
	if r.Head != nil || r.Host != nil || len(r.Fields) != 0 || cap(r.Fields) != cap(kept) || kept[0].Name != nil {
		t.Errorf("left over: %+v, first field %+v", r, kept[0])
	}
	many := "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", 2*keptFields) + "\r\n"
	if _, err := r.Parse([]byte(many), 0); err != nil {
		t.Fatal(err)
	}
	if r.Reset(); cap(r.Fields) != 0 {
		t.Errorf("room for %d fields is kept", cap(r.Fields))
	}
}

func BenchmarkRequest(b *testing.B) {
	rows := map[string]string{
		"ten fields":           typicalRequest,
		"as wrk sends it":      "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
		"as ab -k sends it":    "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: 127.0.0.1:8080\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
		"a post with a length": "POST /orders HTTP/1.1\r\nHost: orders\r\nContent-Type: application/json\r\nContent-Length: 172\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n",
	}
	for name, head := range rows {
		b.Run(name, func(b *testing.B) {
			in := []byte(head)
			var r Request
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if n, err := r.Parse(in, 0); n != len(in) || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
