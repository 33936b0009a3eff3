package scatter

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// An endpoint gets the request once, whatever it says to that over HTTP/2: what net/http would send again is its answer.
func TestNothingIsSentAgainOverHTTP2(t *testing.T) {
	resets := func(code http2.ErrCode) func(f *http2.Framer, stream uint32) {
		return func(f *http2.Framer, stream uint32) { f.WriteRSTStream(stream, code) }
	}
	for name, c := range map[string]struct {
		body   string
		answer func(f *http2.Framer, stream uint32)
	}{
		"refused":                     {"", resets(http2.ErrCodeRefusedStream)},
		"refused with a body":         {"body", resets(http2.ErrCodeRefusedStream)},
		"a protocol error":            {"", resets(http2.ErrCodeProtocol)},
		"an internal error":           {"", resets(http2.ErrCodeInternal)},
		"a connection that goes away": {"", func(f *http2.Framer, stream uint32) { f.WriteGoAway(0, http2.ErrCodeNo, nil) }},
		"one that does for an error":  {"", func(f *http2.Framer, stream uint32) { f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var asked atomic.Int64
			var all sync.WaitGroup
			all.Go(func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					all.Go(func() { answers(conn, func(f *http2.Framer, stream uint32) { asked.Add(1); c.answer(f, stream) }) })
				}
			})
			to := []Endpoint{{Addr: ln.Addr().(*net.TCPAddr).AddrPort()}}
			a := Run(context.Background(), "", Request{Method: "POST", Target: "/", Authority: "web", Body: []byte(c.body), HTTP2: true}, to,
				Options{Timeout: 2 * time.Second})
			if p := a.Pods[0]; asked.Load() != 1 || p.Status != 0 || p.Error == "" || p.Seconds > 1 {
				t.Errorf("asked %d times, and answered with %d %q after %.1f s", asked.Load(), p.Status, p.Error, p.Seconds)
			}
			ln.Close()
			all.Wait()
		})
	}
}

// Nor where an endpoint ends the connection in the place of an answer.
func TestNothingIsSentAgainThatWasCut(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		var asked atomic.Int64
		to := servers(t, 3, h2, func(http.ResponseWriter, *http.Request) {
			asked.Add(1)
			panic(http.ErrAbortHandler)
		})
		a := Run(context.Background(), "", Request{Method: "GET", Target: "/", Authority: "web", HTTP2: h2}, to, Options{})
		if asked.Load() != 3 || a.Status != 502 || a.Pods[2].Error == "" {
			t.Errorf("HTTP/2 %v: three endpoints were asked %d times: %s", h2, asked.Load(), a.JSON())
		}
	}
}

// answers speaks HTTP/2 until the connection ends, and says to each request what answer does.
func answers(conn net.Conn, answer func(f *http2.Framer, stream uint32)) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	for {
		h, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch h := h.(type) {
		case *http2.SettingsFrame:
			if !h.IsAck() {
				f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			answer(f, h.StreamID)
		}
	}
}
