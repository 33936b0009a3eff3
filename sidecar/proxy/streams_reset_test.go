package proxy

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// An endpoint that takes connections and resets them fails all the requests on each, not only the first: none of them is sent there again.
func TestStreamsOfAConnectionThatIsResetGoElsewhere(t *testing.T) {
	for _, greets := range []bool{false, true} {
		good := newH2Server(t, named("good"))
		bad := newOrigin(t)
		var wg sync.WaitGroup
		bad.ln.SetDeadline(time.Time{})
		wg.Go(func() {
			for {
				c, err := bad.ln.AcceptTCP()
				if err != nil {
					return
				}
				wg.Go(func() { resets(c, greets) })
			}
		})
		r := newRig(t)
		r.inOrder(bad.addr, good.addr)
		c := r.h2Client()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				res, err := c.Get("http://web/")
				if got := body(t, res, err); got != "good" {
					t.Errorf("got %q", got)
				}
			})
		}
		all.Wait()
		bad.ln.Close()
		wg.Wait()
	}
}

// resets resets a connection once requests have come.
func resets(c *net.TCPConn, greets bool) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.ReadFull(c, make([]byte, len(frame.ClientPreface)))
	f := http2.NewFramer(c, c)
	if greets {
		f.WriteSettings()
	}
	for {
		h, err := f.ReadFrame()
		if err != nil {
			return
		}
		if h.Header().Type == http2.FrameHeaders {
			time.Sleep(5 * time.Millisecond)
			c.SetLinger(0)
			return
		}
	}
}
