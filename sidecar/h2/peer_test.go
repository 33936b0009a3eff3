package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	xhpack "golang.org/x/net/http2/hpack"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// peer is a raw HTTP/2 peer: a client of the rig, or the server of one of its endpoints.
type peer struct {
	*http2.Framer
	r   *rig
	t   testing.TB
	c   net.Conn
	enc *xhpack.Encoder
	buf bytes.Buffer
	// window is what the rig granted: [0] is the connection's.
	mu     sync.Mutex
	window map[uint32]int64
	auto   bool // settings are acknowledged as they come
	pings  byte
}

func newPeer(t testing.TB, c net.Conn) *peer {
	p := &peer{t: t, c: c, Framer: http2.NewFramer(c, c), window: map[uint32]int64{0: 65535}, auto: true}
	p.enc = xhpack.NewEncoder(&p.buf)
	p.ReadMetaHeaders = xhpack.NewDecoder(4096, nil)
	p.MaxHeaderListSize = 1 << 20
	p.AllowIllegalWrites = true
	return p
}

// client connects to the rig and has SETTINGS exchanged.
func (r *rig) client(settings ...http2.Setting) *peer {
	r.t.Helper()
	p := r.bare()
	p.WriteSettings(settings...)
	p.settled()
	return p
}

// bare connects to the rig and sends the preface, without SETTINGS.
func (r *rig) bare() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr.String())
	if err != nil {
		r.t.Fatal(err)
	}
	io.WriteString(c, frame.ClientPreface)
	return r.peer(c)
}

func (r *rig) peer(c net.Conn) *peer {
	p := newPeer(r.t, c)
	p.r = r
	r.peers = append(r.peers, p)
	return p
}

// server accepts the rig's connection to an endpoint, sends SETTINGS and reads the rig's.
func (r *rig) server(i int, settings ...http2.Setting) *peer {
	r.t.Helper()
	p := r.rude(i)
	p.WriteSettings(settings...)
	if f, ok := p.next().(*http2.SettingsFrame); !ok || f.IsAck() {
		r.t.Fatalf("an endpoint got %v first", f)
	}
	return p
}

// rude accepts the rig's connection to an endpoint and sends nothing.
func (r *rig) rude(i int) *peer {
	r.t.Helper()
	ln := r.endpoints[i].ln.(*net.TCPListener)
	ln.SetDeadline(time.Now().Add(patience))
	c, err := ln.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	b := make([]byte, len(frame.ClientPreface))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != frame.ClientPreface {
		r.t.Fatalf("an endpoint got the preface %q, %v", b, err)
	}
	return r.peer(c)
}

// settled waits for the rig's SETTINGS and its acknowledgement of ours.
func (p *peer) settled() {
	p.t.Helper()
	for ours, theirs := false, false; !ours || !theirs; {
		switch f := p.next().(type) {
		case *http2.SettingsFrame:
			ours, theirs = ours || f.IsAck(), theirs || !f.IsAck()
		case *http2.WindowUpdateFrame:
		default:
			p.t.Fatalf("got %v while SETTINGS are exchanged", f)
		}
	}
}

// next reads a frame, keeps account of windows and acknowledges SETTINGS.
func (p *peer) next() http2.Frame {
	p.t.Helper()
	f, err := p.read()
	if err != nil {
		p.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

// granted answers what a window has been in all, beyond what it began with on a stream.
func (p *peer) granted(id uint32) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.window[id]
}

func (p *peer) read() (http2.Frame, error) {
	p.c.SetReadDeadline(time.Now().Add(patience))
	f, err := p.ReadFrame()
	if err != nil {
		return nil, err
	}
	switch f := f.(type) {
	case *http2.WindowUpdateFrame:
		p.mu.Lock()
		p.window[f.StreamID] += int64(f.Increment)
		p.mu.Unlock()
	case *http2.SettingsFrame:
		if !f.IsAck() && p.auto {
			p.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() && p.auto {
			p.WritePing(true, f.Data)
		}
	}
	return f, nil
}

// want reads the next frame that is neither SETTINGS, WINDOW_UPDATE nor PING, and fails unless it reads as want. why says which rule asks for
// it.
func (p *peer) want(want, why string) {
	p.t.Helper()
	if got := p.seen(); got != want {
		p.t.Fatalf("got %q, want %q: %s", got, want, why)
	}
}

// seen reads the next frame of interest and puts it in words.
func (p *peer) seen() string {
	p.t.Helper()
	for {
		f, err := p.read()
		switch {
		case errors.Is(err, io.EOF):
			return "EOF"
		case err != nil:
			return "error " + err.Error()
		}
		switch f.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PingFrame:
			continue
		}
		return words(f)
	}
}

func words(f http2.Frame) string {
	end := ""
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		if f.StreamEnded() {
			end = " end"
		}
		var b strings.Builder
		for _, h := range f.Fields {
			fmt.Fprintf(&b, " %s=%s", h.Name, h.Value)
		}
		return fmt.Sprintf("HEADERS %d%s%s", f.StreamID, b.String(), end)
	case *http2.DataFrame:
		if f.StreamEnded() {
			end = " end"
		}
		if d := f.Data(); len(d) > 40 {
			return fmt.Sprintf("DATA %d %d bytes%s", f.StreamID, len(d), end)
		}
		return fmt.Sprintf("DATA %d %q%s", f.StreamID, f.Data(), end)
	case *http2.RSTStreamFrame:
		return fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %v %s", f.LastStreamID, f.ErrCode, f.DebugData())
	case *http2.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d %d", f.StreamID, f.Increment)
	}
	return f.Header().String()
}

// silence checks that nothing of interest was sent to the peer until now.
func (p *peer) silence(why string) {
	p.t.Helper()
	p.pings++
	mark := [8]byte{'m', 'a', 'r', 'k', p.pings}
	p.WritePing(false, mark)
	for {
		f, err := p.read()
		if err != nil {
			p.t.Fatalf("got %v where silence was expected: %s", err, why)
		}
		switch f := f.(type) {
		case *http2.PingFrame:
			if f.IsAck() && f.Data == mark {
				return
			}
		case *http2.SettingsFrame, *http2.WindowUpdateFrame:
		default:
			p.t.Fatalf("got %q where silence was expected: %s", words(f), why)
		}
	}
}

// gone reads until the rig has closed the connection, and answers the last GOAWAY.
func (p *peer) gone() string {
	p.t.Helper()
	last := ""
	for {
		switch s := p.seen(); {
		case strings.HasPrefix(s, "GOAWAY"):
			last = s
		case s == "EOF", strings.HasPrefix(s, "error"):
			return last
		}
	}
}

// goesAway expects GOAWAY with a code and a reason, and the end.
func (p *peer) goesAway(code http2.ErrCode, reason frame.Reason, why string) {
	p.t.Helper()
	got := p.gone()
	if !strings.HasSuffix(got, fmt.Sprintf(" %v %s", code, reason)) {
		p.t.Fatalf("got %q, want GOAWAY with %v %s: %s", got, code, reason, why)
	}
}

// block encodes fields given as "name=value".
func (p *peer) block(fields ...string) []byte {
	p.buf.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], "=") + 1
		p.enc.WriteField(xhpack.HeaderField{Name: f[:i], Value: f[i+1:]})
	}
	return bytes.Clone(p.buf.Bytes())
}

// head sends HEADERS of fields given as "name=value".
func (p *peer) head(id uint32, end bool, fields ...string) {
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(fields...), EndStream: end, EndHeaders: true})
}

// get sends a GET request, post the head of a POST request; more are further fields.
func (p *peer) get(id uint32, more ...string) { p.head(id, true, request("GET", more...)...) }
func (p *peer) post(id uint32, more ...string) {
	p.head(id, false, request("POST", more...)...)
}

func request(method string, more ...string) []string {
	return append([]string{":method=" + method, ":scheme=http", ":path=/", ":authority=web"}, more...)
}

// asked is how an endpoint sees what get and post send.
func asked(method string, id uint32, more ...string) string {
	return fmt.Sprintf("HEADERS %d %s", id, strings.Join(request(method, more...), " "))
}

// ok sends the head of an answer.
func (p *peer) ok(id uint32, end bool, more ...string) {
	p.head(id, end, append([]string{":status=200"}, more...)...)
}

// collect reads DATA of a stream until n bytes have come.
func (p *peer) collect(id uint32, n int) {
	p.t.Helper()
	for got := 0; got < n; {
		switch f := p.next().(type) {
		case *http2.DataFrame:
			if f.StreamID != id {
				p.t.Fatalf("got DATA on stream %d, want %d", f.StreamID, id)
			}
			got += len(f.Data())
			if got > n {
				p.t.Fatalf("got %d bytes, want %d", got, n)
			}
		case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PingFrame:
		default:
			p.t.Fatalf("got %q, want DATA on stream %d", words(f), id)
		}
	}
}

// fill sends n bytes of DATA in frames of the usual size.
func (p *peer) fill(id uint32, n int, end bool) {
	b := make([]byte, 16384)
	for n > 0 {
		k := min(n, len(b))
		n -= k
		p.WriteData(id, end && n == 0, b[:k])
	}
}
