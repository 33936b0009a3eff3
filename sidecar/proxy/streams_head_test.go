package proxy

import (
	"net/http"
	"strings"
	"testing"
)

// --max-head-bytes holds over HTTP/2 as well, both ways.
func TestTheLargestHeadOverHTTP2(t *testing.T) {
	s := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("X", q.URL.Query().Get("x")+q.Header.Get("X"))
	})
	for _, c := range []struct {
		name         string
		limit, bytes int
		status       int
	}{
		{"below the default", 0, 60 << 10, 200},
		{"beyond the default", 0, 70 << 10, 431},
		{"below a larger one", 256 << 10, 200 << 10, 200},
		{"beyond a smaller one", 1 << 10, 2 << 10, 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.HeadLimit = c.limit })
			r.serve(s.addr)
			q, _ := http.NewRequest("GET", "http://web/", nil)
			q.Header.Set("X", strings.Repeat("x", c.bytes))
			res, err := r.h2Client().Do(q)
			if err != nil && c.status == 431 && strings.Contains(err.Error(), "advertised limit") {
				return // the client had read our SETTINGS by then
			}
			body(t, res, err)
			if err == nil && (res.StatusCode != c.status || c.status == 200 && len(res.Header.Get("X")) != c.bytes) {
				t.Errorf("got %d with %d bytes, want %d", res.StatusCode, len(res.Header.Get("X")), c.status)
			}
		})
	}
}
