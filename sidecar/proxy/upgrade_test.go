package proxy

import (
	"fmt"
	"strings"
	"testing"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"

var switching = lines("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket")

func TestUpgrade(t *testing.T) {
	t.Run("frames go both ways, and each end is passed on", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake)
		s := o.accept()
		s.expect(handshake, "the handshake, unchanged")
		s.send(switching)
		client.expect(switching, "the answer, unchanged")
		for i := range 100 {
			frame := fmt.Sprintf("frame %d\x00\r\n\r\n", i)
			client.send(frame)
			s.expect(frame, "a frame up")
			s.send(frame)
			client.expect(frame, "a frame down")
		}
		r.counts("upstream connections count as in use", 1, func() uint64 { return uint64(r.m.Loop(0).Upstreams.Load()) })
		s.closeWrite()
		client.expectEnd("the server's FIN")
		client.send("still")
		s.expect("still", "the other direction lives on")
		client.closeWrite()
		s.expectEnd("the client's FIN")
	})
	t.Run("bytes right behind the request and right behind the 101", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake + "early from the client")
		s := o.accept()
		s.expect(handshake, "the handshake alone")
		s.expectSilence("what is behind it belongs to the tunnel")
		s.send(switching + "early from the server")
		client.expect(switching+"early from the server", "all of it")
		s.expect("early from the client", "now it is a tunnel")
		client.reset()
		s.expectReset("a reset passes as one")
	})
	t.Run("101 before the request's body has come: the rest goes first", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		begin := strings.Replace(handshake, "GET", "POST", 1)
		begin = strings.TrimSuffix(begin, "\r\n") + "Content-Length: 1000000\r\n\r\n"
		client.send(begin)
		s := o.accept()
		s.expect(begin, "the head")
		s.send(switching + "from the server")
		client.expect(switching+"from the server", "nobody waits for the body")
		rest := strings.Repeat("b", 1_000_000) + "from the client"
		go client.c.Write([]byte(rest))
		s.expect(rest, "the body, whole, and then the tunnel")
		client.closeWrite()
		s.expectEnd("the FIN")
		s.close()
		client.expectEnd("and the end")
	})
	t.Run("the server declines", func(t *testing.T) {
		r, o := one(t)
		client := r.dial()
		client.send(handshake)
		s := o.accept()
		s.expect(handshake, "the handshake")
		s.send(ok)
		client.expect(ok, "an ordinary answer")
		client.send(get)
		s.expect(get, "an ordinary request behind it")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
	})
	t.Run("CONNECT", func(t *testing.T) {
		r, o := one(t)
		request := lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443")
		client := r.dial()
		client.send(request)
		s := o.accept()
		s.expect(request, "the request")
		s.send(lines("HTTP/1.1 200 OK") + "server first")
		client.expect(lines("HTTP/1.1 200 OK")+"server first", "the answer and what follows")
		client.send("bytes")
		s.expect("bytes", "a tunnel")
		s.close()
		client.expectEnd("its end")
	})
	t.Run("CONNECT refused", func(t *testing.T) {
		r, o := one(t)
		request := lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443")
		client := r.dial()
		client.send(request + get)
		s := o.accept()
		s.expect(request, "the request")
		s.send(lines("HTTP/1.1 403 Forbidden", "Content-Length: 0"))
		client.expect(lines("HTTP/1.1 403 Forbidden", "Content-Length: 0"), "the answer")
		s.expect(get, "no tunnel: the next request")
		s.send(ok)
		client.expect(ok, "its answer")
		client.close()
	})
}
