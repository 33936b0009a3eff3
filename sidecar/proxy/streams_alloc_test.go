//go:build linux && !netloop && !race

package proxy

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// frames reads frames without allocating.
type frames struct {
	c   net.Conn
	buf [1 << 16]byte
}

// until reads up to the end of a stream, and answers its identifier.
func (f *frames) until() (uint32, error) {
	for {
		if _, err := io.ReadFull(f.c, f.buf[:9]); err != nil {
			return 0, err
		}
		length := int(f.buf[0])<<16 | int(f.buf[1])<<8 | int(f.buf[2])
		kind, flags, id := http2.FrameType(f.buf[3]), http2.Flags(f.buf[4]), binary.BigEndian.Uint32(f.buf[5:9])
		if _, err := io.ReadFull(f.c, f.buf[:length]); err != nil {
			return 0, err
		}
		if (kind == http2.FrameData || kind == http2.FrameHeaders) && flags.Has(http2.FlagDataEndStream) {
			return id, nil
		}
	}
}

// numbered writes the frames of b with id as their stream.
func numbered(b []byte, id uint32) []byte {
	for at := 0; at < len(b); {
		binary.BigEndian.PutUint32(b[at+5:], id)
		at += 9 + (int(b[at])<<16 | int(b[at+1])<<8 | int(b[at+2]))
	}
	return b
}

// A head that waits for the trailers, which come with it, makes no garbage either.
func TestNoAllocationAHeadThatWaits(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s := &said{id: 1}
	s.Framer = http2.NewFramer(&s.out, nil)
	well(s)
	answer := s.out.Bytes()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := &frames{c: c}
				io.ReadFull(c, in.buf[:len(http2.ClientPreface)])
				http2.NewFramer(c, nil).WriteSettings()
				http2.NewFramer(c, nil).WriteSettingsAck()
				own := append([]byte(nil), answer...)
				for {
					id, err := in.until()
					if err != nil {
						return
					}
					c.Write(numbered(own, id))
				}
			}()
		}
	}()
	r := newRig(t)
	r.serve(ln.Addr().(*net.TCPAddr).AddrPort())
	r.with(func(r *rules.Rules) { r.Retry.IdempotencyKey = true })
	client := r.dial()
	q := &said{id: 1}
	q.Framer = http2.NewFramer(&q.out, nil)
	q.head(false, ":method", "POST", ":scheme", "http", ":authority", "web", ":path", "/pkg.Service/Method",
		"content-type", "application/grpc", "te", "trailers", "idempotency-key", "1")
	q.WriteData(1, true, make([]byte, 5))
	request := q.out.Bytes()
	io.WriteString(client.c, http2.ClientPreface)
	http2.NewFramer(client.c, nil).WriteSettings()
	http2.NewFramer(client.c, nil).WriteSettingsAck()
	http2.NewFramer(client.c, nil).WriteWindowUpdate(0, 1<<30)
	in := &frames{c: client.c}
	id := uint32(1)
	round := func() {
		if _, err := client.c.Write(numbered(request, id)); err != nil {
			t.Fatal(err)
		}
		if got, err := in.until(); err != nil || got != id {
			t.Fatal(got, err)
		}
		id += 2
	}
	for range 1000 {
		round()
	}
	const n = 5000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		round()
	}
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / n; got > 0.05 {
		t.Errorf("%.3f allocations a call, want none", got)
	}
	client.close()
}
