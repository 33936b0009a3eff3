package head

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

// split makes fields of lines; a name ends at the first space that is not its first byte.
func split(s string) (l []hpack.Field) {
	for line := range strings.SplitSeq(s, "|") {
		name, value, _ := strings.Cut(line, " ")
		l = append(l, hpack.Field{Name: name, Value: value})
	}
	return l
}

func FuzzRequest(f *testing.F) {
	f.Add(strings.Join(get, "|"))
	for _, s := range lines {
		f.Add(strings.Join(append(get, s), "|"))
		f.Add(s + "|" + strings.Join(get[1:], "|"))
	}
	f.Fuzz(func(t *testing.T, s string) {
		l := split(s)
		r, err := ParseRequest(l)
		if want := naiveRequest(l); (err == nil) != want {
			t.Fatalf("%q: %v, the twin says %v", l, err, want)
		}
		if r.Timeout < 0 || r.ContentLength < -1 {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzResponse(f *testing.F) {
	f.Add(":status 200|content-length 5|grpc-status 0")
	f.Add(":status 100|a b|:status 200")
	f.Fuzz(func(t *testing.T, s string) {
		l := split(s)
		status, length, err := ParseResponse(l)
		if err == nil && (status < 100 || status > 999 || length < -1 || l[0].Name != ":status") {
			t.Fatalf("%q: %d, %d", l, status, length)
		}
		// What is right behind the status is right as trailers, but for lengths, which mean nothing there.
		if err == nil && CheckTrailers(l[1:]) != nil {
			t.Fatalf("%q: %v as trailers", l, CheckTrailers(l[1:]))
		}
		if code, ok := GRPCStatus(l); ok && (code < 0 || code > 9999) {
			t.Fatal(code)
		}
	})
}
