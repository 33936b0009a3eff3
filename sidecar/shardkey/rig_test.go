package shardkey

import (
	"net/netip"
	"strings"
	"testing"
)

// head is a request's head for tests: header lines as "name: value".
type head struct {
	target string
	lines  []string
	client string
}

func (h *head) Header(name string, nth int) ([]byte, bool) {
	for _, l := range h.lines {
		n, v, _ := strings.Cut(l, ":")
		if strings.EqualFold(n, name) {
			if nth == 0 {
				return []byte(strings.TrimSpace(v)), true
			}
			nth--
		}
	}
	return nil, false
}

func (h *head) Target() []byte { return []byte(h.target) }

func (h *head) Client() netip.Addr {
	a, _ := netip.ParseAddr(h.client)
	return a
}

func mustParse(t testing.TB, key, normalize string) *Spec {
	t.Helper()
	s, err := Parse(key, normalize)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keyOf answers the key of a request, or the Outcome's word in angle brackets. The body comes whole.
func keyOf(x *Extraction, s *Spec, h *head, body string) string {
	o := x.Begin(s, h)
	if o == NeedMore {
		o = x.Body([]byte(body), true)
	}
	if o != Found {
		return "<" + o.String() + ">"
	}
	return string(x.Key().Text)
}

// fixed is a head that allocates nothing.
type fixed struct{}

var (
	fixedCookie = []byte("a=1; sid=Abc")
	fixedValue  = []byte("Account-7")
	fixedTarget = []byte("/accounts/a%2Fb/orders?id=%41+b")
	fixedClient = netip.MustParseAddr("10.0.0.7")
)

func (*fixed) Header(name string, nth int) ([]byte, bool) {
	switch {
	case nth > 0:
	case name == "cookie":
		return fixedCookie, true
	case name == "a":
		return fixedValue, true
	}
	return nil, false
}

func (*fixed) Target() []byte     { return fixedTarget }
func (*fixed) Client() netip.Addr { return fixedClient }
