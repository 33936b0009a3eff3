package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// A call counts with the status that its client sees, also where none came.
func TestEveryCallIsCounted(t *testing.T) {
	resets := func(code http2.ErrCode) func(*said) {
		return func(s *said) { s.WriteRSTStream(s.id, code) }
	}
	resetsWithin := func(code http2.ErrCode) func(*said) {
		return func(s *said) {
			s.begin()
			s.message("part")
			s.flush()
			s.WriteRSTStream(s.id, code)
		}
	}
	for name, c := range map[string]struct {
		answer  func(*said)
		patient bool
		status  int
	}{
		"it has a status":                          {func(s *said) { s.begin(); s.status("5") }, true, 5},
		"it is reset with CANCEL":                  {resets(http2.ErrCodeCancel), true, 1},
		"it is reset with INTERNAL_ERROR":          {resets(http2.ErrCodeInternal), true, 13},
		"it is reset with ENHANCE_YOUR_CALM":       {resets(http2.ErrCodeEnhanceYourCalm), true, 8},
		"it is reset with INADEQUATE_SECURITY":     {resets(http2.ErrCodeInadequateSecurity), true, 7},
		"it is reset within the answer":            {resetsWithin(http2.ErrCodeEnhanceYourCalm), true, 8},
		"its connection is lost within the answer": {func(s *said) { s.begin(); s.message("part"); s.flush(); s.c.Close() }, true, 14},
		"its answer ends without a status":         {func(s *said) { s.begin(); s.WriteData(s.id, true, nil) }, true, 2},
		"HTTP says that there is no such path":     {func(s *said) { s.head(true, ":status", "404") }, true, 12},
		"HTTP says that it is not allowed":         {func(s *said) { s.head(true, ":status", "403") }, true, 7},
		"its client cancels it before an answer":   {func(*said) {}, false, 1},
		"its client cancels it within the answer":  {func(s *said) { s.begin(); s.message("part") }, false, 1},
		"its connection is lost before any answer": {func(s *said) { s.c.Close() }, true, 14},
	} {
		t.Run(name, func(t *testing.T) {
			came := make(chan bool, 10)
			s := newGRPCServer(t, func(s *said) { c.answer(s); s.flush(); came <- true })
			r := newRig(t)
			r.serve(s.addr)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			q, _ := http.NewRequestWithContext(ctx, "POST", "http://web/pkg.Service/Method", strings.NewReader("\x00\x00\x00\x00\x00"))
			q.Header.Set("Content-Type", "application/grpc")
			if !c.patient {
				go func() { <-came; cancel() }()
			}
			if res, err := r.h2Client().Do(q); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			r.counts("calls with this status", 1, r.service().Statuses[c.status].Load)
			for i := range r.service().Statuses {
				if n := r.service().Statuses[i].Load(); n != 0 && i != c.status {
					t.Errorf("%d calls count with status %d", n, i)
				}
			}
		})
	}
}
