//go:build linux && !netloop && !race

package proxy

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// frames reads frames without allocating.
type frames struct {
	c    net.Conn
	buf  []byte
	r, w int
}

func (f *frames) next() (h frame.Header, err error) {
	for {
		if b := f.buf[f.r:f.w]; len(b) >= frame.HeaderLen {
			if h = frame.Parse(b); len(b) >= frame.HeaderLen+int(h.Length) {
				f.r += frame.HeaderLen + int(h.Length)
				return h, nil
			}
		}
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
		n, err := f.c.Read(f.buf[f.w:])
		if err != nil {
			return h, err
		}
		f.w += n
	}
}

// literals is a block of which nothing is entered into the table, so that it can be sent any number of times.
func literals(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func appendBlock(b []byte, id uint32, block []byte, flags frame.Flags) []byte {
	b = frame.Header{Type: frame.Headers, Flags: frame.EndHeaders | flags, Stream: id, Length: uint32(len(block))}.Append(b)
	return append(b, block...)
}

// answeringStreams is a server that answers every stream once its request has ended, without allocating.
func answeringStreams(t *testing.T, head, body, trailers []byte) *server {
	return newServer(t, func(_ int, c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(frame.ClientPreface))); err != nil {
			return
		}
		out := frame.AppendWindowUpdate(frame.AppendSettingsAck(frame.AppendSettings(nil)), 0, 1<<30)
		in := frames{c: c, buf: make([]byte, 64<<10)}
		for {
			if in.r == in.w {
				if _, err := c.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
			h, err := in.next()
			if err != nil {
				return
			}
			if !h.Flags.Has(frame.EndStream) || h.Type != frame.Headers && h.Type != frame.Data {
				continue
			}
			out = frame.AppendData(appendBlock(out, h.Stream, head, 0), h.Stream, body, trailers == nil)
			if trailers != nil {
				out = appendBlock(out, h.Stream, trailers, frame.EndStream)
			}
		}
	})
}

// Streams make no garbage either, alone or many at a time.
func TestNoAllocationAStream(t *testing.T) {
	get := literals(":method", "GET", ":scheme", "http", ":authority", "web", ":path", "/some/path", "user-agent", "test/1.0", "accept", "*/*")
	call := literals(":method", "POST", ":scheme", "http", ":authority", "web", ":path", "/pkg.Service/Method", "content-type", "application/grpc",
		"te", "trailers", "grpc-timeout", "10S", "idempotency-key", "1")
	ok := literals(":status", "200", "server", "test", "date", "Sun, 29 Nov 2026 00:00:00 GMT", "content-type", "text/plain", "content-length", "100")
	started := literals(":status", "200", "content-type", "application/grpc")
	ended := literals("grpc-status", "0", "grpc-message", "")
	hundred := make([]byte, 100)
	cases := []struct {
		name     string
		atOnce   int
		request  []byte
		body     []byte
		head     []byte
		trailers []byte
		again    bool // the Service calls all of them idempotent, so that heads of gRPC wait for the trailers
	}{
		{"one GET", 1, get, nil, ok, nil, false},
		{"16 GETs at a time", 16, get, nil, ok, nil, false},
		{"one gRPC call", 1, call, hundred, started, ended, false},
		{"50 gRPC calls at a time", 50, call, hundred, started, ended, false},
		{"one gRPC call that is idempotent", 1, call, hundred, started, ended, true},
		{"50 gRPC calls at a time that are", 50, call, hundred, started, ended, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s1, s2 := answeringStreams(t, c.head, hundred, c.trailers), answeringStreams(t, c.head, hundred, c.trailers)
			r := newRig(t)
			r.declare(cluster.HTTP2, s1.addr, s2.addr)
			r.with(func(r *rules.Rules) { r.Retry.IdempotencyKey = c.again })
			client := r.dial()
			defer client.close()
			out := append([]byte(frame.ClientPreface), frame.AppendWindowUpdate(frame.AppendSettings(nil), 0, 1<<30)...)
			in := frames{c: client.c, buf: make([]byte, 64<<10)}
			id := uint32(1)
			batch := func() {
				for range c.atOnce {
					out = appendBlock(out, id, c.request, map[bool]frame.Flags{true: frame.EndStream}[c.body == nil])
					if c.body != nil {
						out = frame.AppendData(out, id, c.body, true)
					}
					id += 2
				}
				if _, err := client.c.Write(out); err != nil {
					t.Fatal(err)
				}
				out = out[:0]
				for left := c.atOnce; left > 0; {
					h, err := in.next()
					if err != nil {
						t.Fatal(err)
					}
					switch {
					case h.Type == frame.ResetStream || h.Type == frame.GoAway:
						t.Fatalf("a frame of type %d of stream %d", h.Type, h.Stream)
					case h.Flags.Has(frame.EndStream) && (h.Type == frame.Headers || h.Type == frame.Data):
						left--
					}
				}
			}
			n := 10_000 / c.atOnce
			for range n / 5 {
				batch()
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			for range n {
				batch()
			}
			runtime.ReadMemStats(&after)
			if got := float64(after.Mallocs-before.Mallocs) / float64(n*c.atOnce); got > 0.05 {
				t.Errorf("%.3f allocations a stream, want none", got)
			}
		})
	}
}
