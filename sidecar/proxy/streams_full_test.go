package proxy

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
)

// fullServer allows one stream a connection, and holds the first request until release. Once it has that, closed makes it take no more
// connections.
func fullServer(t *testing.T) (s *h2Server, held chan bool, release, closed func()) {
	t.Helper()
	held = make(chan bool, 100)
	hold, release := hanging(t, named("held"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &h2Server{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	s.srv = &http.Server{Protocols: &http.Protocols{}, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/hold" {
				held <- true
				hold(w, q)
				return
			}
			named("here")(w, q)
		})}
	s.srv.Protocols.SetUnencryptedHTTP2(true)
	go s.srv.Serve(ln)
	t.Cleanup(func() { s.srv.Close() })
	return s, held, release, func() { ln.Close() }
}

// A connection that is full is no reason to fail what waits for another one, which does not come about.
func TestStreamsWaitForRoomWhereNoFurtherConnectionComesAbout(t *testing.T) {
	s, held, release, shut := fullServer(t)
	r := newRig(t)
	r.inOrder(s.addr)
	c := r.h2Client()
	var all sync.WaitGroup
	ask := func(path, want string) {
		all.Go(func() {
			res, err := c.Get("http://web" + path)
			if got := body(t, res, err); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		})
	}
	ask("/hold", "held")
	<-held
	shut()
	for range 5 {
		ask("/", "here")
	}
	r.eventually("dials that fail", func() bool { return r.attempts(classify.ConnectFailed) >= 5 })
	time.Sleep(50 * time.Millisecond) // some, to fail in
	release()
	all.Wait()
}

// Where there is another endpoint, nobody waits.
func TestStreamsGoElsewhereWhereNoFurtherConnectionComesAbout(t *testing.T) {
	s, held, release, shut := fullServer(t)
	other := newH2Server(t, named("there"))
	r := newRig(t)
	r.inOrder(s.addr, other.addr)
	c := r.h2Client()
	var all sync.WaitGroup
	all.Go(func() {
		res, err := c.Get("http://web/hold")
		if got := body(t, res, err); got != "held" {
			t.Errorf("got %q", got)
		}
	})
	<-held
	shut()
	for range 3 {
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "there" {
			t.Errorf("got %q", got)
		}
	}
	release()
	all.Wait()
}

// A connection that ends takes nobody with it who only waits for it.
func TestStreamsThatWaitForRoomFailWithTheConnection(t *testing.T) {
	s, held, _, shut := fullServer(t)
	r := newRig(t)
	r.inOrder(s.addr)
	c := r.h2Client()
	var all sync.WaitGroup
	for i := range 4 {
		path := "/"
		if i == 0 {
			path = "/hold"
		}
		all.Go(func() {
			res, err := c.Get("http://web" + path)
			if body(t, res, err); err == nil && res.StatusCode < 500 {
				t.Errorf("%s: status %d", path, res.StatusCode)
			}
		})
		if i == 0 {
			<-held
			shut()
		}
	}
	r.eventually("dials that fail", func() bool { return r.attempts(classify.ConnectFailed) >= 3 })
	s.srv.Close()
	all.Wait()
}
