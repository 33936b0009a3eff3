package h2

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/loop"
)

// until calls f until the connection fails or it was called n times. What the rig sends is taken meanwhile, the last GOAWAY answered.
func (p *peer) until(n int, f func(i int) error) string {
	last := make(chan string, 1)
	go func() {
		goAway := ""
		p.c.SetReadDeadline(time.Now().Add(patience))
		for {
			f, err := p.ReadFrame()
			if err != nil {
				last <- goAway
				return
			}
			if f, ok := f.(*http2.GoAwayFrame); ok {
				goAway = words(f)
			}
		}
	}()
	for i := range n {
		if f(i) != nil {
			break
		}
	}
	return <-last
}

// The floods of clients: CVE-2019-9511 to -9518, CVE-2023-44487, CVE-2023-45288, CVE-2024-27316, CVE-2025-8671. most is how many requests they
// may cause.
func TestFloodsOfClients(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(c *peer, i int) error
		reason frame.Reason
		most   int
	}{
		{"rapid reset", func(c *peer, i int) error {
			c.get(uint32(2*i + 7))
			return c.WriteRSTStream(uint32(2*i+7), http2.ErrCodeCancel)
		}, frame.TooManyResets, 250},
		{"made you reset by a window overflow", func(c *peer, i int) error {
			c.get(uint32(2*i + 7))
			return c.WriteWindowUpdate(uint32(2*i+7), 1<<31-1)
		}, frame.TooManyMalformed, 250},
		{"made you reset by data that nobody announced", func(c *peer, i int) error {
			c.post(uint32(2*i+7), "content-length=1")
			return c.WriteData(uint32(2*i+7), true, []byte("12"))
		}, frame.TooManyMalformed, 250},
		{"made you reset by trailers that do not end the stream", func(c *peer, i int) error {
			c.post(uint32(2*i + 7))
			c.head(uint32(2*i+7), false, "a=b")
			return c.WriteData(uint32(2*i+7), true, nil)
		}, frame.TooManyMalformed, 250},
		{"malformed requests", func(c *peer, i int) error {
			c.head(uint32(2*i+7), true, ":method=GET")
			return c.WriteData(0x7fffffff, false, nil)
		}, frame.IdleStream, 0},
		{"malformed requests alone", func(c *peer, i int) error {
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 7), BlockFragment: []byte{0x82}, EndStream: true, EndHeaders: true})
		}, frame.TooManyMalformed, 0},
		{"PING", func(c *peer, i int) error { return c.WritePing(false, [8]byte{}) }, frame.TooManyControlFrames, 0},
		{"acknowledged PING", func(c *peer, i int) error { return c.WritePing(true, [8]byte{}) }, frame.TooManyControlFrames, 0},
		{"SETTINGS", func(c *peer, i int) error { return c.WriteSettings() }, frame.TooManyControlFrames, 0},
		{"acknowledged SETTINGS", func(c *peer, i int) error { return c.WriteSettingsAck() }, frame.TooManyControlFrames, 0},
		{"SETTINGS of thousands of windows", func(c *peer, i int) error {
			b := bytes.Repeat([]byte{0, 4, 0, 0, 0, 1, 0, 4, 0, 0, 0, 2}, 16384/12)
			return c.WriteRawFrame(http2.FrameSettings, 0, 0, b)
		}, frame.TooManyControlFrames, 0},
		{"PRIORITY", func(c *peer, i int) error { return c.WritePriority(uint32(2*i+7), http2.PriorityParam{}) }, frame.TooManyControlFrames, 0},
		{"WINDOW_UPDATE of the connection", func(c *peer, i int) error { return c.WriteWindowUpdate(0, 1) }, frame.TooManyControlFrames, 0},
		{"WINDOW_UPDATE of a stream", func(c *peer, i int) error { return c.WriteWindowUpdate(3, 1) }, frame.TooManyControlFrames, 0},
		{"RST_STREAM of closed streams", func(c *peer, i int) error { return c.WriteRSTStream(1, 0) }, frame.TooManyControlFrames, 0},
		{"empty DATA", func(c *peer, i int) error { return c.WriteData(5, false, nil) }, frame.TooManyControlFrames, 0},
		{"empty DATA with padding", func(c *peer, i int) error { return c.WriteDataPadded(5, false, nil, make([]byte, 2)) }, frame.TooManyControlFrames, 0},
		{"unknown frames", func(c *peer, i int) error { return c.WriteRawFrame(0xfa, 0, 0, nil) }, frame.TooManyControlFrames, 0},
		{"GOAWAY", func(c *peer, i int) error { return c.WriteGoAway(0, 0, nil) }, frame.TooManyControlFrames, 0},
		{"CONTINUATION", func(c *peer, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: []byte{0x82}, EndStream: true})
			}
			return c.WriteContinuation(7, false, bytes.Repeat([]byte{0x84}, 5000))
		}, frame.HeaderBlockTooLarge, 0},
		{"empty CONTINUATION", func(c *peer, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: []byte{0x82}, EndStream: true})
			}
			return c.WriteContinuation(7, false, nil)
		}, frame.TooManyContinuations, 0},
		{"more streams than are allowed", func(c *peer, i int) error { c.post(uint32(2*i + 7)); return nil }, frame.TooManyStreams, DefaultMaxStreams},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			s.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1 << 20})
			c.get(3)
			s.want(asked("GET", 3)+" end", "")
			c.post(5)
			s.want(asked("POST", 5), "")
			go func() { // the endpoint takes what comes and answers nothing
				s.c.SetReadDeadline(time.Time{})
				io.Copy(io.Discard, s.c)
			}()
			got := c.until(20_000, func(i int) error { return row.do(c, i) })
			code := "ENHANCE_YOUR_CALM"
			if row.reason == frame.IdleStream {
				code = "PROTOCOL_ERROR"
			}
			if !strings.HasSuffix(got, code+" "+row.reason.String()) {
				t.Errorf("the flood was ended by %q, want %s %s", got, code, row.reason)
			}
			r.violated("downstream " + row.reason.String())
			n := 0
			r.on(func() { n = len(r.begun) })
			if n > row.most+3 {
				t.Errorf("the flood caused %d requests, want at most %d", n, row.most)
			}
		})
	}
}

func TestFloodsOfServers(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(s *peer, i int) error
		reason frame.Reason
	}{
		{"PING", func(s *peer, i int) error { return s.WritePing(false, [8]byte{}) }, frame.TooManyControlFrames},
		{"SETTINGS", func(s *peer, i int) error { return s.WriteSettings() }, frame.TooManyControlFrames},
		{"WINDOW_UPDATE", func(s *peer, i int) error { return s.WriteWindowUpdate(0, 1) }, frame.TooManyControlFrames},
		{"RST_STREAM of streams that have ended", func(s *peer, i int) error { return s.WriteRSTStream(1, 0) }, frame.TooManyControlFrames},
		{"GOAWAY", func(s *peer, i int) error { return s.WriteGoAway(1<<31-1, 0, nil) }, frame.TooManyControlFrames},
		{"empty DATA", func(s *peer, i int) error { return s.WriteData(5, false, nil) }, frame.TooManyControlFrames},
		{"CONTINUATION", func(s *peer, i int) error {
			if i == 0 {
				return s.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x88}})
			}
			return s.WriteContinuation(3, false, bytes.Repeat([]byte{0x89}, 5000))
		}, frame.HeaderBlockTooLarge},
		{"empty CONTINUATION", func(s *peer, i int) error {
			if i == 0 {
				return s.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x88}})
			}
			return s.WriteContinuation(3, false, nil)
		}, frame.TooManyContinuations},
		{"PRIORITY", func(s *peer, i int) error { return s.WritePriority(9, http2.PriorityParam{}) }, frame.TooManyControlFrames},
		{"unknown frames", func(s *peer, i int) error { return s.WriteRawFrame(0xfa, 0, 0, nil) }, frame.TooManyControlFrames},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			c.get(3)
			s.want(asked("GET", 3)+" end", "")
			c.get(5)
			s.want(asked("GET", 5)+" end", "")
			s.ok(5, false)
			c.want("HEADERS 5 :status=200", "")
			got := s.until(20_000, func(i int) error { return row.do(s, i) })
			if !strings.HasSuffix(got, "ENHANCE_YOUR_CALM "+row.reason.String()) {
				t.Errorf("the flood was ended by %q", got)
			}
			r.violated("upstream " + row.reason.String())
			for range 2 {
				if f := c.seen(); f != "HEADERS 3 :status=502 end" && f != "RST_STREAM 5 INTERNAL_ERROR" {
					t.Errorf("the client got %q", f)
				}
			}
			c.get(7)
			s = r.server(0)
			s.want(asked("GET", 1)+" end", "the next request gets a connection of its own")
			s.ok(1, true)
			c.want("HEADERS 7 :status=200 end", "")
		})
	}
}

// A client that asks and does not read is not answered without bound.
func TestAClientThatDoesNotRead(t *testing.T) {
	r, c, s := pair(t, nil)
	c.c.(*net.TCPConn).SetReadBuffer(4096)
	big := "x-big=" + strings.Repeat("v", 8000)
	peak := 0
	for n := uint32(3); n < 10_000; n += 2 {
		c.get(n)
		s.want(asked("GET", n)+" end", "")
		s.ok(n, true, big+fmt.Sprint(n)) // never the same, or HPACK makes it small
		s.silence("nothing is to be said; the answer has been seen to")
		ended := false
		r.on(func() {
			for d := range r.downs {
				peak = max(peak, cap(d.out))
			}
			r.mu.Lock()
			ended = len(r.violations) > 0
			r.mu.Unlock()
		})
		if ended {
			break
		}
	}
	r.violated("downstream peer-does-not-read")
	if peak > 2*controlWater {
		t.Errorf("%d bytes waited for a client that does not read", peak)
	}
	t.Logf("%d bytes waited at most", peak)
}

// A client that grants a few bytes at a time has us send a frame for each grant (CVE-2019-9511, CVE-2019-9517). It gets its answer whole, and
// no faster than tokens come.
func TestAClientThatGrantsCrumbs(t *testing.T) {
	for _, row := range []struct {
		window uint32
		size   int
		slowly bool
	}{{1, 1300, true}, {64, 60_000, false}} {
		t.Run(fmt.Sprint(row.window), func(t *testing.T) {
			r := newRig(t, 1, nil)
			c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: row.window})
			c.get(1)
			s := r.server(0)
			s.want(asked("GET", 1)+" end", "")
			s.ok(1, false)
			go func() { s.fill(1, row.size, true) }()
			c.want("HEADERS 1 :status=200", "")
			slow := false
			for got := 0; got < row.size; {
				f, ok := c.next().(*http2.DataFrame)
				if !ok {
					t.Fatalf("after %d bytes of %d another frame came", got, row.size)
				}
				n := len(f.Data())
				got += n
				c.WriteWindowUpdate(1, uint32(n))
				c.WriteWindowUpdate(0, uint32(n))
				r.on(func() {
					for d := range r.downs {
						slow = slow || d.calm.tokens < 500
					}
				})
			}
			if slow != row.slowly {
				t.Errorf("tokens ran out: %v, want %v", slow, row.slowly)
			}
		})
	}
}

// Grants behind which nothing waits are a flood, also when there were crumbs before.
func TestAClientThatGrantsForNothing(t *testing.T) {
	r := newRig(t, 1, nil)
	c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	c.get(1)
	s := r.server(0)
	s.want(asked("GET", 1)+" end", "")
	s.ok(1, false)
	s.fill(1, 20, false)
	got := c.until(50_000, func(i int) error { return c.WriteWindowUpdate(1, 1) })
	if !strings.HasSuffix(got, "ENHANCE_YOUR_CALM control-flood") {
		t.Errorf("the flood was ended by %q", got)
	}
}

// A list of fields beyond the limit is answered, whatever it was packed in, and costs no memory: CVE-2016-1544.
func TestAnHPACKBomb(t *testing.T) {
	r := newRig(t, 0, nil)
	c := r.client()
	// An entry of 4,000 bytes, named 4,000 times by one byte each.
	bomb := append(c.block(append(request("GET"), "x="+strings.Repeat("v", 3900))...), bytes.Repeat([]byte{0xbe}, 4000)...)
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bomb, EndStream: true, EndHeaders: true})
	c.want("HEADERS 1 :status=431 content-length=0 end", "RFC 6585, section 5")
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: bomb, EndHeaders: true})
	c.want("HEADERS 3 :status=431 content-length=0 end", "")
	c.want("RST_STREAM 3 NO_ERROR", "the rest of the request is not wanted")
	c.get(5)
	c.want("HEADERS 5 :status=503", "the table has kept up")
	r.on(func() {
		for d := range r.downs {
			if n := cap(d.fields); n > keptFields {
				t.Errorf("a connection keeps room for %d fields", n)
			}
		}
	})
}

// An unfinished frame holds a buffer, and no more than one.
func TestHalfAFrame(t *testing.T) {
	r := newRig(t, 0, nil)
	for range 50 {
		c := r.client()
		io.WriteString(c.c, "\x00\x40\x00\x00\x00\x00\x00\x00\x01"+strings.Repeat("x", 1000))
	}
	r.eventually("a buffer each", func() bool { return r.l.BuffersOut() == 50 })
	r.on(func() {
		for d := range r.downs {
			if len(d.in) > loop.Medium {
				t.Errorf("a buffer of %d bytes", len(d.in))
			}
		}
	})
}

// A client that asks a hundred times a second whether somebody is there, for a minute, is answered and not told to be calm.
func TestAClientMayPingForLong(t *testing.T) {
	r, c, _ := pair(t, nil)
	for range 6000 {
		c.WritePing(false, [8]byte{1})
		for {
			if f, ok := c.next().(*http2.PingFrame); ok && f.IsAck() {
				break
			}
		}
		r.on(func() {
			for d := range r.downs {
				d.calm.last -= int64(10 * time.Millisecond)
			}
		})
	}
}
