package proxy

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// Bodies that do not come with their heads are kept up to a limit, so that the request can be sent again.
func TestBodiesAreKept(t *testing.T) {
	two := func(t *testing.T, change ...func(*Options)) (r *rig, bad, good *origin, client *peer) {
		r, bad, good = newRig(t, change...), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		return r, bad, good, r.dial()
	}
	chunked := "PUT / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunks := func(n, size int) string {
		return strings.Repeat(hex(size)+"\r\n"+strings.Repeat("c", size)+"\r\n", n) + "0\r\n\r\n"
	}
	sized := func(n int) (head, body string) {
		return "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: " + itoa(n) + "\r\n\r\n", strings.Repeat("b", n)
	}
	const most = 64 << 10
	small, smallBody := sized(5)
	large, largeBody := sized(most)
	for _, c := range []struct{ name, head, body string }{
		{"a few bytes", small, smallBody},
		{"as many bytes as are kept", large, largeBody},
		{"chunks", chunked, chunks(3, 5)},
		{"many chunks", chunked, chunks(60, 1000)},
	} {
		t.Run(c.name+", and the first endpoint resets", func(t *testing.T) {
			r, bad, good, client := two(t)
			client.send(c.head)
			s := bad.accept()
			s.expect(c.head, "the head")
			client.send(c.body)
			s.expect(c.body, "the body")
			s.reset()
			s = good.accept()
			s.expect(c.head+c.body, "all of it again")
			s.send(ok)
			client.expect(ok, "the answer")
			r.inOrder(good.addr)
			client.send(get)
			s.expect(get, "a further request")
			s.send(ok)
			client.expect(ok, "and its answer")
			client.close()
		})
		t.Run(c.name+", and the first endpoint answers 503", func(t *testing.T) {
			_, bad, good, client := two(t)
			client.send(c.head)
			s := bad.accept()
			s.expect(c.head, "the head")
			client.send(c.body)
			s.expect(c.body, "the body")
			s.send(status(503))
			s = good.accept()
			s.expect(c.head+c.body, "all of it again")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
		})
		t.Run(c.name+", of which the first endpoint gets half", func(t *testing.T) {
			r, bad, good, client := two(t)
			half := len(c.body) / 2
			client.send(c.head)
			s := bad.accept()
			s.expect(c.head, "the head")
			client.send(c.body[:half])
			s.expect(c.body[:half], "half of the body")
			s.send(status(503))
			s = good.accept()
			s.expect(c.head+c.body[:half], "what there is, again")
			r.inOrder(good.addr)
			client.send(c.body[half:] + get)
			s.expect(c.body[half:], "the rest")
			s.send(ok)
			client.expect(ok, "the answer")
			s.expect(get, "the request behind it")
			s.send(ok)
			client.expect(ok, "the answer")
			client.close()
		})
	}
	t.Run("more than is kept is passed on, and not sent again", func(t *testing.T) {
		_, bad, good, client := two(t)
		body := chunks(100, 1000)
		client.send(chunked)
		s := bad.accept()
		s.expect(chunked, "the head")
		go client.c.Write([]byte(body))
		s.expect(body, "the body")
		s.send(status(503))
		client.expect(status(503), "the answer")
		good.noConnection("though the body is gone")
		client.close()
	})
	t.Run("nor is what would not fit into the memory for it", func(t *testing.T) {
		memory := retry.NewMemory(4096)
		_, bad, good, client := two(t, func(o *Options) { o.Memory = memory })
		head, body := sized(5000)
		client.send(head)
		s := bad.accept()
		s.expect(head, "the head")
		client.send(body)
		s.expect(body, "the body")
		s.send(status(503))
		client.expect(status(503), "the answer")
		good.noConnection("though the body is gone")
		client.close()
		if used, refused := memory.Stats(); used != 0 || refused != 1 {
			t.Errorf("%d bytes are taken and %d refused, want 0 and 1", used, refused)
		}
	})
	t.Run("a POST is not sent again because of it", func(t *testing.T) {
		_, bad, good, client := two(t)
		head := strings.Replace(small, "PUT", "POST", 1)
		client.send(head)
		s := bad.accept()
		s.expect(head, "the head")
		client.send(smallBody)
		s.expect(smallBody, "the body")
		s.send(status(503))
		client.expect(status(503), "the answer")
		good.noConnection("though it may have had its effect")
		client.close()
	})
	t.Run("100 (Continue) of the second endpoint", func(t *testing.T) {
		_, bad, good, client := two(t)
		head := strings.Replace(small, "Host", "Expect: 100-continue\r\nHost", 1)
		client.send(head)
		s := bad.accept()
		s.expect(head, "the head")
		s.send(status(500))
		s = good.accept()
		s.expect(head, "the head again")
		s.send("HTTP/1.1 100 Continue\r\n\r\n")
		client.expect("HTTP/1.1 100 Continue\r\n\r\n", "the word to go on")
		client.send(smallBody)
		s.expect(smallBody, "the body")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
}
