package detect

import (
	"strings"
	"testing"
)

// samples are the first bytes of connections. need is how many of them it takes to know: every shorter prefix must give
// NeedMore, every longer one want. guess is the answer for the shorter prefixes of which guessFrom bytes are there, Opaque
// for those with less.
var samples = []struct {
	name  string
	in    string
	want  Result
	need  int // 0: all of in
	guess Result
	from  int
}{
	{name: "HTTP/1.1", in: "GET / HTTP/1.1\r\n", want: HTTP1, guess: HTTP1, from: 5},
	{name: "HTTP/1.0", in: "POST /a?b=c HTTP/1.0\r\n", want: HTTP1, guess: HTTP1, from: 6},
	{name: "HTTP/1.1 with a head", in: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", want: HTTP1, need: 16, guess: HTTP1, from: 5},
	{name: "HTTP behind empty lines", in: "\r\n\r\nGET / HTTP/1.1\r\n", want: HTTP1, guess: HTTP1, from: 9},
	{name: "HTTP behind too many empty lines", in: "\r\n\r\n\r\n\r\n\r\n", want: Opaque, need: 9},
	{name: "an unusual method", in: "M-SEARCH * HTTP/1.1\r\n", want: HTTP1},
	{name: "a method in lower case", in: "get / HTTP/1.1\r\n", want: HTTP1},
	{name: "OPTIONS of a server", in: "OPTIONS * HTTP/1.1\r\n", want: HTTP1},
	{name: "CONNECT", in: "CONNECT a:443 HTTP/1.1\r\n", want: HTTP1},
	{name: "absolute form", in: "GET http://a/ HTTP/1.1\r\n", want: HTTP1, guess: HTTP1, from: 11},
	{name: "obs-text in a target", in: "GET /\xc3\xa9 HTTP/1.1\r\n", want: HTTP1, guess: HTTP1, from: 5},
	{name: "lines that end with LF: left to the server", in: "GET / HTTP/1.0\n", want: Opaque, guess: HTTP1, from: 5},
	{name: "CR alone behind the line", in: "GET / HTTP/1.1\rX", want: Opaque, guess: HTTP1, from: 5},
	{name: "HTTP/1.2", in: "GET / HTTP/1.2", want: Opaque, guess: HTTP1, from: 5},
	{name: "HTTP/2.0 as a version", in: "GET / HTTP/2", want: Opaque, guess: HTTP1, from: 5},
	{name: "HTTP/0.9", in: "GET /\r", want: Opaque, guess: HTTP1, from: 5},
	{name: "http in lower case", in: "GET / h", want: Opaque, guess: HTTP1, from: 5},
	{name: "two spaces", in: "GET  ", want: Opaque},
	{name: "a method without end", in: strings.Repeat("A", 33), want: Opaque},
	{name: "a control byte in the target", in: "GET /\x01", want: Opaque, guess: HTTP1, from: 5},
	{name: "a target beyond the limit", in: "GET /" + strings.Repeat("a", Limit), want: HTTP1, need: Limit, guess: HTTP1, from: 5},
	{name: "a line that ends behind the limit", in: "GET /" + strings.Repeat("a", Limit-12) + " HTTP/1.1\r\n", want: HTTP1, need: Limit, guess: HTTP1, from: 5},

	{name: "HTTP/2", in: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04", want: HTTP2, need: 24, guess: HTTP2, from: 12},
	{name: "HTTP/2 that is none", in: "PRI * HTTP/2.0\r\n\r\nXM", want: Opaque, need: 19, guess: HTTP2, from: 12},
	{name: "HTTP/1.1 with method PRI", in: "PRI * HTTP/1.1\r\n", want: HTTP1},
	{name: "HTTP/1.1 with method PUT", in: "PUT /a HTTP/1.1\r\n", want: HTTP1, guess: HTTP1, from: 5},

	{name: "TLS 1.2 and 1.3", in: "\x16\x03\x01\x02\x00\x01", want: TLS, need: 3},
	{name: "SSL 3.0", in: "\x16\x03\x00\x00\x2f", want: TLS, need: 3},
	{name: "a record of TLS 1.4", in: "\x16\x03\x05", want: Opaque},
	{name: "a handshake that is no TLS", in: "\x16\x04", want: Opaque},
	{name: "a TLS alert", in: "\x15\x03\x03", want: Opaque, need: 1},
	{name: "SSL 2.0", in: "\x80\x2e\x01\x00\x02", want: Opaque, need: 1},

	{name: "Redis RESP", in: "*1\r\n$4\r\nPING\r\n", want: Opaque, need: 1},
	{name: "Redis inline", in: "GET foo\r\n", want: Opaque, need: 8},
	{name: "Redis PING", in: "PING\r\n", want: Opaque, need: 5},
	{name: "Redis SET inline", in: "SET k v\r\n", want: Opaque, need: 7},
	{name: "Redis inline with a path as the key", in: "GET /foo\r\n", want: Opaque, need: 9, guess: HTTP1, from: 5},
	{name: "memcached get", in: "get k\r\n", want: Opaque, need: 6},
	{name: "memcached set", in: "set k 0 0 5\r\nhello\r\n", want: Opaque, need: 7},
	{name: "memcached binary", in: "\x80\x00\x00\x03", want: Opaque, need: 1},
	{name: "SMTP", in: "EHLO client.example.com\r\n", want: Opaque, need: 24},
	{name: "FTP", in: "USER anonymous\r\n", want: Opaque, need: 15},
	{name: "POP3", in: "CAPA\r\n", want: Opaque, need: 5},
	{name: "IMAP", in: "a1 LOGIN user secret\r\n", want: Opaque, need: 10},
	{name: "IRC", in: "USER guest 0 * :Ronnie\r\n", want: Opaque, need: 12},
	{name: "SSH", in: "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", want: Opaque, need: 31},
	{name: "SSH without a comment", in: "SSH-2.0-Go\r\n", want: Opaque, need: 11},
	{name: "MySQL handshake response", in: "\x55\x00\x00\x01\x85\xa6", want: Opaque, need: 2},
	{name: "PostgreSQL SSL request", in: "\x00\x00\x00\x08\x04\xd2\x16\x2f", want: Opaque, need: 1},
	{name: "PostgreSQL startup", in: "\x00\x00\x00\x54\x00\x03\x00\x00user\x00", want: Opaque, need: 1},
	{name: "AMQP 0-9-1", in: "AMQP\x00\x00\x09\x01", want: Opaque, need: 5},
	{name: "Kafka", in: "\x00\x00\x00\x2c\x00\x12\x00\x03", want: Opaque, need: 1},
	{name: "MongoDB", in: "\x41\x01\x00\x00\x01\x00\x00\x00", want: Opaque, need: 2},
	{name: "MQTT", in: "\x10\x0e\x00\x04MQTT", want: Opaque, need: 1},
	{name: "NATS", in: "CONNECT {\"verbose\":false}\r\n", want: Opaque, need: 26},
	{name: "NATS with spaces", in: "CONNECT {\"a\": 1}\r\n", want: Opaque, need: 15},
	{name: "STOMP", in: "CONNECT\naccept-version:1.2\n", want: Opaque, need: 8},
	{name: "ZooKeeper", in: "\x00\x00\x00\x2d\x00", want: Opaque, need: 1},
	{name: "Cassandra", in: "\x04\x00\x00\x00\x05", want: Opaque, need: 1},
	{name: "LDAP", in: "0\x0c\x02\x01\x01", want: Opaque, need: 1},
	{name: "Git", in: "003egit-upload-pack /x\x00", want: Opaque, need: 1},
	{name: "Elasticsearch transport", in: "ES\x00\x00\x00\x2e", want: Opaque, need: 3},
	{name: "StatsD", in: "requests:1|c\n", want: Opaque, need: 9},
	{name: "Graphite", in: "a.b.c 1.0 1700000000\n", want: Opaque, need: 11},
	{name: "beanstalkd", in: "put 0 0 60 5\r\nhello\r\n", want: Opaque, need: 7},
	{name: "RTSP", in: "OPTIONS rtsp://a/b RTSP/1.0\r\n", want: Opaque, need: 20},
	{name: "SIP", in: "INVITE sip:a@b SIP/2.0\r\n", want: Opaque, need: 16},
	{name: "PROXY protocol, version 1", in: "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", want: Opaque, need: 12},
	{name: "PROXY protocol, unknown", in: "PROXY UNKNOWN\r\n", want: Opaque, need: 14},
	{name: "PROXY protocol, version 2", in: "\r\n\r\n\x00\r\nQUIT\n", want: Opaque, need: 5},
	{name: "rsync", in: "@RSYNCD: 31.0\n", want: Opaque, need: 1},
	{name: "syslog", in: "<34>Oct 11", want: Opaque, need: 1},
	{name: "RDP", in: "\x03\x00\x00\x13\x0e", want: Opaque, need: 1},
	{name: "SQL Server", in: "\x12\x01\x00\x2f", want: Opaque, need: 1},
	{name: "Erlang distribution", in: "\x00\x15n", want: Opaque, need: 1},
	{name: "a heartbeat of LF", in: "\n", want: Opaque},
}

func TestEveryPrefixOfEverySample(t *testing.T) {
	for _, tt := range samples {
		t.Run(tt.name, func(t *testing.T) {
			need := tt.need
			if need == 0 {
				need = len(tt.in)
			}
			for n := range len(tt.in) + 1 {
				want, guess := tt.want, tt.want
				if n < need {
					want, guess = NeedMore, Opaque
					if tt.from > 0 && n >= tt.from {
						guess = tt.guess
					}
				}
				if got := Detect([]byte(tt.in[:n])); got != want {
					t.Fatalf("Detect of the first %d bytes: %v, want %v", n, got, want)
				}
				if got := Guess([]byte(tt.in[:n])); got != guess {
					t.Fatalf("Guess of the first %d bytes: %v, want %v", n, got, guess)
				}
			}
		})
	}
}

// FuzzDetect checks of any bytes that an answer, once given, stays for everything longer, and that a guess is one.
func FuzzDetect(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s.in), uint(len(s.in)/2))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint) {
		short := b[:cut%uint(len(b)+1)]
		before, after := Detect(short), Detect(b)
		if before != NeedMore && before != after {
			t.Errorf("%q is %v, and %q is %v", short, before, b, after)
		}
		if g := Guess(b); g == NeedMore || after != NeedMore && g != after {
			t.Errorf("%q is %v and guessed to be %v", b, after, g)
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	in := []byte("M-SEARCH /a HTTP/1.1\r\n")
	if n := testing.AllocsPerRun(100, func() { Detect(in); Guess(in[:5]) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDetect(b *testing.B) {
	for _, in := range []string{"GET /api/v1/orders?page=2 HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "*1\r\n$4\r\nPING\r\n"} {
		b.Run(Detect([]byte(in)).String(), func(b *testing.B) {
			in := []byte(in)
			b.ReportAllocs()
			for b.Loop() {
				Detect(in)
			}
		})
	}
}

func TestTheBeginningOfThePreface(t *testing.T) {
	for b, want := range map[string]bool{"": false, "P": true, "PRI": true, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r": true, preface: false, "PU": false, "GET": false} {
		if got := MayBecomeHTTP2([]byte(b)); got != want {
			t.Errorf("%q: %v, want %v", b, got, want)
		}
	}
}
