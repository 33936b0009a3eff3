package head

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

var (
	nameRE   = regexp.MustCompile(`^[^\x00-\x20A-Z\x7f-\xff:]+$`)
	valueRE  = regexp.MustCompile(`^[^\x00\r\n]*$`)
	tokenRE  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	schemeRE = regexp.MustCompile(`^[0-9A-Za-z+.-]+$`)
	pathRE   = regexp.MustCompile(`^[^\x00-\x1f\x7f]+$`)
	targetRE = regexp.MustCompile(`^[^\x00-\x20\x7f]*$`)
	lengthRE = regexp.MustCompile(`^[0-9]{1,18}$`)
)

func latin(s string) string { // one rune for each byte, so that expressions see bytes
	r := make([]rune, len(s))
	for i := range len(s) {
		r[i] = rune(s[i])
	}
	return string(r)
}

// naiveRequest says the same as ParseRequest, slowly.
func naiveRequest(fields []hpack.Field) bool {
	values := map[string][]string{}
	regular := false
	for _, f := range fields {
		name, value := latin(f.Name), latin(f.Value)
		values[name] = append(values[name], value)
		if strings.HasPrefix(name, ":") {
			if regular || !slices.Contains([]string{":method", ":scheme", ":path", ":authority", ":protocol"}, name) {
				return false
			}
			continue
		}
		regular = true
		if !nameRE.MatchString(name) || !valueRE.MatchString(value) || name == "te" && value != "" && !strings.EqualFold(value, "trailers") {
			return false
		}
	}
	for _, n := range []string{"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"} {
		if values[n] != nil {
			return false
		}
	}
	for _, n := range []string{":method", ":scheme", ":path", ":authority", ":protocol", "host", "content-length"} {
		if len(values[n]) > 1 {
			return false
		}
	}
	one := func(n string, re *regexp.Regexp) bool { return len(values[n]) == 1 && re.MatchString(values[n][0]) }
	none := func(n string) bool { return values[n] == nil }
	connect := one(":method", regexp.MustCompile(`^CONNECT$`))
	switch {
	case !one(":method", tokenRE):
		return false
	case connect && none(":protocol"):
		if !none(":scheme") || !none(":path") || none(":authority") || values[":authority"][0] == "" {
			return false
		}
	case !one(":scheme", schemeRE), !one(":path", pathRE):
		return false
	case !none(":protocol") && (!connect || !one(":protocol", tokenRE)):
		return false
	}
	return (none(":authority") || one(":authority", targetRE)) && (none("host") || one("host", targetRE)) &&
		(none("content-length") || one("content-length", lengthRE))
}

// lines are what random requests are made of, in order and out of it.
var lines = []string{
	":method GET", ":method POST", ":method CONNECT", ":method G T", ":method", ":method OPTIONS", ":scheme http", ":scheme https", ":scheme",
	":scheme ftp", ":path /", ":path /a?b=c", ":path", ":path *", ":path /a b", ":path a", ":path /\x7f", ":path /%zz", ":authority a",
	":authority a:80", ":authority", ":authority a b", ":authority u@a", ":protocol websocket", ":protocol", ":status 200", ":x y",
	"host a", "host b", "host", "te trailers", "te gzip", "te", "connection close", "keep-alive 1", "proxy-connection x", "transfer-encoding chunked",
	"upgrade h2c", "content-length 0", "content-length 1", "content-length x", "content-length +1", "cookie a=b", "cookie c=d", "X y", "x Y", "x\x01 y",
	"a b\x00", "a b\n", "a \tb", "a b ", "(a) b", "a\xff b", "a \xff", "a \x01", " empty",
}

func randomRequest(r *rand.Rand) []hpack.Field {
	l := list(get...)
	for range r.IntN(4) {
		f := list(lines[r.IntN(len(lines))])[0]
		switch r.IntN(4) {
		case 0: // in place of its like
			if i := slices.IndexFunc(l, func(o hpack.Field) bool { return o.Name == f.Name }); i >= 0 {
				l[i] = f
				continue
			}
			fallthrough
		case 1:
			l = append(l, f)
		case 2:
			l = slices.Insert(l, r.IntN(len(l)+1), f)
		case 3:
			if len(l) > 0 {
				i := r.IntN(len(l))
				l = slices.Delete(l, i, i+1)
			}
		}
	}
	return l
}

func TestRequestsAreJudgedAsByTheSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	accepted := 0
	for range 200000 {
		l := randomRequest(r)
		_, err := ParseRequest(l)
		if want := naiveRequest(l); (err == nil) != want {
			t.Fatalf("%q: %v, the twin says %v", l, err, want)
		}
		if err == nil {
			accepted++
		}
	}
	t.Logf("%d accepted", accepted)
}

// differs explains why net/http's server may judge l otherwise: ours is the judgement of this package.
func differs(l []hpack.Field, ours error) string {
	values := map[string][]string{}
	for _, f := range l {
		values[f.Name] = append(values[f.Name], f.Value)
	}
	first := func(n string) string {
		if len(values[n]) > 0 {
			return values[n][0]
		}
		return ""
	}
	if ours != nil {
		switch r := ours.(*Malformed).Reason; r {
		case RepeatedHost, RepeatedContentLength, BadContentLength, BadAuthority, BadMethod, BadProtocol:
			return "stricter: " + r.String()
		}
		return ""
	}
	for _, f := range l {
		switch {
		case f.Name[0] != ':' && !httpguts.ValidHeaderFieldName(f.Name):
			return "laxer: a name that is no token"
		case !httpguts.ValidHeaderFieldValue(f.Value):
			return "laxer: a control character in a value"
		}
	}
	_, err := url.ParseRequestURI(first(":path"))
	switch {
	case values["host"] != nil && first(":authority") != "" && first("host") != first(":authority"):
		return "laxer: a Host that differs"
	case first(":scheme") != "http" && first(":scheme") != "https" && first(":method") != "CONNECT":
		return "laxer: another scheme"
	case first(":method") == "CONNECT":
		return "net/http takes extended CONNECT only where it was switched on"
	case err != nil:
		return "laxer: a path that is no request URI"
	case len(values["te"]) > 1:
		return "laxer: more than one te"
	case strings.Contains(first(":authority"), "@"):
		return "laxer: user information"
	}
	return ""
}

func TestRequestsAreJudgedAsByNetHTTP(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	why := map[string]int{}
	addr := startServer(t)
	n := 4000
	if testing.Short() {
		n = 400
	}
	for n > 0 {
		s := dial(t, addr)
		for range 100 {
			n--
			l := randomRequest(r)
			_, ours := ParseRequest(l)
			theirs := s.accepts(l)
			if (ours == nil) == theirs {
				continue
			}
			reason := differs(l, ours)
			if reason == "" {
				t.Fatalf("%q: %v, and net/http says %v", l, ours, theirs)
			}
			why[reason]++
		}
		_ = s.conn.Close()
	}
	t.Log(why)
}

// client is a connection to net/http's server.
type client struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	enc    hpack.Encoder
	dec    *hpack.Decoder
	stream uint32
}

// startServer starts net/http's server, which answers whatever it accepts with 200.
func startServer(t *testing.T) (addr string) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func dial(t *testing.T, addr string) *client {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &client{t: t, conn: conn, framer: http2.NewFramer(conn, conn), dec: hpack.NewDecoder(4096), stream: 1}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = s.framer.WriteSettings()
	for {
		f, err := s.framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(*http2.SettingsFrame); ok && f.IsAck() {
			return s
		}
	}
}

// accepts reports whether the server's handler answers a request.
func (s *client) accepts(l []hpack.Field) bool {
	block := s.enc.Begin(nil)
	for _, f := range l {
		block = s.enc.Append(block, f)
	}
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: s.stream, BlockFragment: block, EndHeaders: true, EndStream: true})
	for {
		f, err := s.framer.ReadFrame()
		if err != nil {
			s.t.Fatalf("%q: %v", l, err)
		}
		switch f := f.(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID == s.stream {
				s.stream += 2
				return false
			}
		case *http2.GoAwayFrame:
			s.t.Fatalf("%q: %v", l, f)
		case *http2.HeadersFrame:
			fields, _, err := s.dec.Decode(nil, f.HeaderBlockFragment(), 1<<20)
			if err != nil {
				s.t.Fatal(err)
			}
			if f.StreamID == s.stream {
				s.stream += 2
				return fields[0].Value == "200"
			}
		}
	}
}
