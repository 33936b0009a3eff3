package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
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

// full is a rig whose first endpoint is a fullServer that holds a request and takes no more connections, under rules that change says (nil leaves
// them). ask makes a request that is to be answered so; done releases the first one and waits for all.
func full(t *testing.T, change func(*rules.Rules), others ...netip.AddrPort) (r *rig, c *http.Client, ask func(path, want string), done func()) {
	t.Helper()
	s, held, release, shut := fullServer(t)
	r = newRig(t)
	r.inOrder(append([]netip.AddrPort{s.addr}, others...)...)
	if change != nil {
		r.with(change)
	}
	c = r.h2Client()
	var all sync.WaitGroup
	ask = func(path, want string) {
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
	return r, c, ask, func() { release(); all.Wait() }
}

// A connection that is full is no reason to fail what waits for another one, which does not come about.
func TestStreamsWaitForRoomWhereNoFurtherConnectionComesAbout(t *testing.T) {
	r, _, ask, done := full(t, nil)
	for range 5 {
		ask("/", "here")
	}
	r.eventually("dials that fail", func() bool { return r.attempts(classify.ConnectFailed) >= 5 })
	time.Sleep(50 * time.Millisecond) // some, to fail in
	done()
}

// Where there is another endpoint, nobody waits.
func TestStreamsGoElsewhereWhereNoFurtherConnectionComesAbout(t *testing.T) {
	_, c, _, done := full(t, nil, newH2Server(t, named("there")).addr)
	for range 3 {
		res, err := c.Get("http://web/")
		if got := body(t, res, err); got != "there" {
			t.Errorf("got %q", got)
		}
	}
	done()
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

// Who waits for room on a connection takes one of the places that sluice.mesh/max-requests leaves, as if the request had been sent.
func TestStreamsThatWaitForRoomAreWithinTheLimit(t *testing.T) {
	two := func(ru *rules.Rules) { ru.Limits.Requests, ru.Limits.Queue = 2, patience }
	t.Run("nobody is there beside them", func(t *testing.T) {
		r, _, ask, done := full(t, two)
		for range 4 {
			ask("/", "here")
		}
		r.eventually("a dial that fails", func() bool { return r.attempts(classify.ConnectFailed) >= 1 })
		time.Sleep(50 * time.Millisecond) // more, if they may
		ep := r.target.Snapshot().Set.Endpoints[0]
		r.on(func() {
			if n := ep.Load[0].InFlight; n > 2 {
				t.Errorf("%d attempts run, want 2", n)
			}
		})
		done()
	})
	t.Run("whose place was taken meanwhile waits for one", func(t *testing.T) {
		r, _, ask, done := full(t, two)
		ep := r.target.Snapshot().Set.Endpoints[0]
		also := *r.target.Snapshot()
		picks, taken := 0, make(chan bool, 1)
		also.Picker = pickBefore{also.Picker, func() {
			if picks++; picks == 2 { // behind the dial that failed
				taken <- ep.Places.Take(2)
			}
		}}
		r.target.Publish(&also)
		ask("/", "here")
		if !got(t, taken, "the second pick") {
			t.Error("the place was not to be had")
		}
		r.counts("requests wait", 1, r.waiting)
		ep.Places.Give()
		r.counts("requests wait", 0, r.waiting)
		done()
	})
}
