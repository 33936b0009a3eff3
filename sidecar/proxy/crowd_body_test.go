package proxy

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"golang.org/x/net/http2"
)

// A request that has begun to go out while another endpoint was full does not wait for that one once it fails: a part of its body is in memory
// no longer, and what is left of it is another body.
func TestARequestWhoseBodyIsPartlyGoneDoesNotWaitForRoom(t *testing.T) {
	t.Run("HTTP/1.1", func(t *testing.T) {
		r, full, second := newRig(t), newOrigin(t), newOrigin(t)
		limit := func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience }
		r.inOrder(second.addr)
		client, s := warm(r, second)
		r.inOrder(full.addr, second.addr)
		r.with(limit)
		first := client.sibling()
		first.send(get)
		busy := full.accept()
		busy.expect(get, "the request that keeps the first endpoint full")
		r.beforeNextPick(s.close)
		// The body has come when the server is found to have gone, and is too long to be kept.
		go client.c.Write([]byte("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 600000\r\n\r\n" + strings.Repeat("b", 600_000)))
		r.counts("attempts count as not processed", 1, func() uint64 { return r.attempts(classify.Unprocessed) })
		busy.send(ok)
		first.expect(ok, "the first answer")
		busy.expectSilence("half a body is nobody's")
		second.noConnection("half a body is nobody's")
		client.expectResetOrEnd("the endpoint is gone")
		first.close()
	})
	t.Run("HTTP/2", func(t *testing.T) {
		came := make(chan string, 2)
		hold, release := hanging(t, named("held"))
		full := newH2Server(t, func(w http.ResponseWriter, q *http.Request) {
			came <- q.URL.Path
			hold(w, q)
		})
		refuse := make(chan bool)
		r := newRig(t)
		r.inOrder(full.addr, refusesMidway(t, 100<<10, refuse))
		r.with(func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 1, patience })
		c := r.h2Client()
		done := make(chan bool)
		go func() {
			defer close(done)
			res, err := c.Post("http://web/first", "", strings.NewReader("x"))
			body(t, res, err)
		}()
		if got := got(t, came, "the request that keeps the first endpoint full"); got != "/first" {
			t.Fatalf("%s came", got)
		}
		in, out := io.Pipe()
		go func() {
			out.Write(make([]byte, 200<<10))
			refuse <- true
			r.counts("attempts count as not processed", 1, func() uint64 { return r.attempts(classify.Unprocessed) })
			release()
			out.Close()
		}()
		res, err := c.Post("http://web/second", "", in)
		if err == nil {
			t.Errorf("got %d %q, want what the endpoint said", res.StatusCode, body(t, res, nil))
		} else if !strings.Contains(err.Error(), "REFUSED_STREAM") {
			t.Errorf("got %v", err)
		}
		<-done
		if len(came) > 0 {
			t.Errorf("%s came to the endpoint that was full", <-came)
		}
	})
}

// refusesMidway starts an HTTP/2 server that reads n bytes of the first request's body and refuses its stream when it is told to.
func refusesMidway(t *testing.T, n int, refuse <-chan bool) netip.AddrPort {
	return newServer(t, func(_ int, c *net.TCPConn) {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c, make([]byte, len(frame.ClientPreface))); err != nil {
			return
		}
		w := http2.NewFramer(c, c)
		w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		w.WriteWindowUpdate(0, 1<<20)
		for {
			f, err := w.ReadFrame()
			switch f := f.(type) {
			case *http2.HeadersFrame:
				if n <= 0 {
					t.Error("a request whose body is partly gone came again")
					w.WriteRSTStream(f.StreamID, http2.ErrCodeInternal)
				}
			case *http2.SettingsFrame:
				if !f.IsAck() {
					w.WriteSettingsAck()
				}
			case *http2.DataFrame:
				if n -= len(f.Data()); n <= 0 && n > -len(f.Data()) {
					<-refuse
					w.WriteRSTStream(f.StreamID, http2.ErrCodeRefusedStream)
				}
			default:
				if err != nil {
					return
				}
			}
		}
	}).addr
}
