package head

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// list makes fields of "name value" or "name" strings.
func list(lines ...string) (l []hpack.Field) {
	for _, s := range lines {
		name, value, _ := strings.Cut(s, " ")
		l = append(l, hpack.Field{Name: name, Value: value})
	}
	return l
}

func reasonOf(t *testing.T, err error) Reason {
	t.Helper()
	if err == nil {
		return reasonNone
	}
	var m *Malformed
	if !errors.As(err, &m) {
		t.Fatalf("%T is no *Malformed", err)
	}
	return m.Reason
}

var get = []string{":method GET", ":scheme http", ":path /", ":authority a"}

func TestRequestsAreCheckedAsRFC9113Says(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []hpack.Field
		want   Reason
	}{
		{"the least that is allowed", list(":method GET", ":scheme http", ":path /"), reasonNone},
		{"pseudo-header fields in any order", list(":path /", ":authority a", ":method GET", ":scheme https", "a b"), reasonNone},
		{"nothing", nil, MissingMethod},

		// h2spec 8.1.2
		{"upper case in a name", list(append(get, "X-TEST ok")...), UppercaseFieldName},
		// h2spec 8.1.2.1
		{"an unknown pseudo-header field", list(append(get, ":test ok")...), UnknownPseudo},
		{"a response's pseudo-header field", list(append(get, ":status 200")...), MisplacedPseudo},
		{"a pseudo-header field behind a regular one", list(":method GET", ":scheme http", "x y", ":path /"), MissingPath},
		{"the same, with another one before", list(append(get, "x y", ":authority a")...), LatePseudo},
		{"an unknown one behind a regular one", list(append(get, "x y", ":z a")...), UnknownPseudo},
		// h2spec 8.1.2.2
		{"connection", list(append(get, "connection keep-alive")...), ConnectionField},
		{"proxy-connection", list(append(get, "proxy-connection keep-alive")...), ConnectionField},
		{"keep-alive", list(append(get, "keep-alive timeout=5")...), ConnectionField},
		{"transfer-encoding", list(append(get, "transfer-encoding chunked")...), ConnectionField},
		{"upgrade", list(append(get, "upgrade foo/2")...), ConnectionField},
		{"te: trailers, deflate", list(append(get, "te trailers, deflate")...), BadTE},
		{"te: trailers", list(append(get, "te trailers")...), reasonNone},
		{"te: Trailers", list(append(get, "te Trailers")...), reasonNone},
		{"te without value", list(append(get, "te")...), reasonNone},
		// h2spec 8.1.2.3
		{"empty :path", list(":method GET", ":scheme http", ":path", ":authority a"), BadPath},
		{"no :method", list(":scheme http", ":path /", ":authority a"), MissingMethod},
		{"no :scheme", list(":method GET", ":path /", ":authority a"), MissingScheme},
		{"no :path", list(":method GET", ":scheme http", ":authority a"), MissingPath},
		{"two :method", list(append(get, ":method GET")...), RepeatedPseudo},
		{"two :scheme", list(append(get, ":scheme http")...), RepeatedPseudo},
		{"two :path", list(append(get, ":path /")...), RepeatedPseudo},
		{"two :authority", list(append(get, ":authority a")...), RepeatedPseudo},
		{"two :protocol", list(":method CONNECT", ":scheme http", ":path /", ":authority a", ":protocol a", ":protocol a"), RepeatedPseudo},

		{"a method that is no token", list(":method G/T", ":scheme http", ":path /"), BadMethod},
		{"an empty method", list(":method", ":scheme http", ":path /"), BadMethod},
		{"a method of one's own", list(":method M-SEARCH", ":scheme http", ":path /"), reasonNone},
		{"an empty scheme", list(":method GET", ":scheme", ":path /"), BadScheme},
		{"a scheme with a slash", list(":method GET", ":scheme http://a", ":path /"), BadScheme},
		{"another scheme", list(":method GET", ":scheme coap+tcp", ":path /"), reasonNone},
		{"a path with a space", list(":method GET", ":scheme http", ":path /a b"), reasonNone},
		{"a long path with a DEL", list(":method GET", ":scheme http", ":path /abcdefghijk\x7fabc"), BadPath},
		{"a long path with a CR in its tail", list(":method GET", ":scheme http", ":path /abcdefghijkl\rab"), BadPath},
		{"a path without a slash, as gRPC servers answer it", list(":method POST", ":scheme http", ":path a.B/C"), reasonNone},
		{"asterisk form", list(":method OPTIONS", ":scheme http", ":path *"), reasonNone},
		{"bytes above 0x7f in the path", list(":method GET", ":scheme http", ":path /\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"), reasonNone},
		{"an authority with a space", list(":method GET", ":scheme http", ":path /", ":authority a b"), BadAuthority},
		{"host with a space", list(":method GET", ":scheme http", ":path /", "host a b"), BadAuthority},
		{"two hosts", list(append(get, "host a", "host a")...), RepeatedHost},
		{"a host that differs", list(append(get, "host b")...), reasonNone},

		{"CONNECT", list(":method CONNECT", ":authority a:1"), reasonNone},
		{"CONNECT without authority", list(":method CONNECT"), MissingAuthority},
		{"CONNECT with an empty authority", list(":method CONNECT", ":authority"), BadAuthority},
		{"CONNECT with :path", list(":method CONNECT", ":authority a:1", ":path /"), BadConnect},
		{"CONNECT with :scheme", list(":method CONNECT", ":authority a:1", ":scheme http"), BadConnect},
		{"extended CONNECT", list(":method CONNECT", ":protocol websocket", ":scheme http", ":path /", ":authority a"), reasonNone},
		{"extended CONNECT without :path", list(":method CONNECT", ":protocol websocket", ":scheme http", ":authority a"), MissingPath},
		{"extended CONNECT without :scheme", list(":method CONNECT", ":protocol websocket", ":path /", ":authority a"), MissingScheme},
		{":protocol without CONNECT", list(append(get, ":protocol websocket")...), BadProtocol},
		{"an empty :protocol", list(":method CONNECT", ":protocol", ":scheme http", ":path /", ":authority a"), BadProtocol},

		{"an empty name", list(append(get, " x")...), EmptyFieldName},
		{"a space in a name", append(list(get...), hpack.Field{Name: "a b"}), BadFieldName},
		{"a colon in a name", list(append(get, "a:b c")...), BadFieldName},
		{"a byte above 0x7e in a name", list(append(get, "a\x7f c")...), BadFieldName},
		{"NUL in a value", list(append(get, "a \x00")...), BadFieldValue},
		{"LF in a long value", list(append(get, "a 0123456789abcdef\n0123456")...), BadFieldValue},
		{"CR at the end of a value", list(append(get, "cookie 0123456789abcdef\r")...), BadFieldValue},
		{"a tab in a value", list(append(get, "a 0123456789abcdef\t0123456")...), reasonNone},
		{"bytes above 0x7f in a value", list(append(get, "a \xff\x80\xff\x80\xff\x80\xff\x80\xff\x80")...), reasonNone},
		{"crumbs of a cookie", list(append(get, "cookie a=b", "cookie c=d")...), reasonNone},

		{"content-length", list(append(get, "content-length 12")...), reasonNone},
		{"two equal content-lengths", list(append(get, "content-length 1", "content-length 1")...), RepeatedContentLength},
		{"a list of content-lengths", list(append(get, "content-length 1,1")...), BadContentLength},
		{"a signed content-length", list(append(get, "content-length +1")...), BadContentLength},
		{"an empty content-length", list(append(get, "content-length")...), BadContentLength},
		{"a content-length of 2^64", list(append(get, "content-length 18446744073709551616")...), BadContentLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseRequest(c.fields)
			if got := reasonOf(t, err); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			if ok := naiveRequest(c.fields); ok != (c.want == reasonNone) {
				t.Errorf("the twin says %v", ok)
			}
		})
	}
}

func TestRequestSaysWhatItsFieldsSay(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []hpack.Field
		want   Request
	}{
		{"a call of grpc-go", list(":method POST", ":scheme http", ":path /a.B/C", ":authority a:1", "content-type application/grpc",
			"user-agent grpc-go/1.76.0", "te trailers", "grpc-timeout 99m"),
			Request{"POST", "http", "/a.B/C", "a:1", "", -1, true, 99 * time.Millisecond, true}},
		{"host in place of :authority", list(":method PUT", ":scheme http", ":path /", "host h", "content-length 5"),
			Request{"PUT", "http", "/", "h", "", 5, false, 0, false}},
		{"host beside :authority", list(append(get, "host h")...), Request{"GET", "http", "/", "a", "", -1, false, 0, false}},
		{"extended CONNECT", list(":method CONNECT", ":protocol websocket", ":scheme http", ":path /", ":authority a"),
			Request{"CONNECT", "http", "/", "a", "websocket", -1, false, 0, false}},
	} {
		got, err := ParseRequest(c.fields)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestContentTypesOfGRPC(t *testing.T) {
	for s, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "application/grpc;charset=utf-8": true,
		"application/grpc-web": false, "application/grpcx": false, "application/json": false, "": false,
	} {
		if got := isGRPC(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestTimeoutsOfGRPC(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond,
		"12345678n": 12345678, "99999999H": math.MaxInt64, "2562047H": 2562047 * time.Hour, "2562048H": math.MaxInt64, "0m": 1,
		"": 0, "m": 0, "1": 0, "1s": 0, "-1m": 0, "1.5S": 0, "123456789m": 0, "1 m": 0,
	} {
		if got := parseTimeout(s); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestReasonsHaveWords(t *testing.T) {
	seen := []string{}
	for r := range reasonCount {
		if s := r.String(); s == "" || slices.Contains(seen, s) {
			t.Errorf("reason %d is called %q", uint8(r), s)
		} else {
			seen = append(seen, s)
		}
	}
	if s := reasonCount.String(); !strings.HasPrefix(s, "reason ") {
		t.Error(s)
	}
}
