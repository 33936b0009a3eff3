package proxy

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// acceptOne accepts one connection, and what comes then waits.
type acceptOne struct {
	net.Listener
	once   sync.Once
	closed chan bool
}

func (l *acceptOne) Accept() (c net.Conn, err error) {
	err = net.ErrClosed
	l.once.Do(func() { c, err = l.Listener.Accept() })
	if err != nil {
		<-l.closed
	}
	return c, err
}

func (l *acceptOne) Close() error {
	close(l.closed)
	return l.Listener.Close()
}

// awaitingStream is a rig whose first endpoint has one connection for one stream, which is taken until release, and to which a further connect hangs;
// what comes then is answered by h. The second endpoint answers "there".
func awaitingStream(t *testing.T, h http.HandlerFunc) (r *rig, c *http.Client, release func()) {
	t.Helper()
	ln, fill := stalled(t)
	taken := make(chan bool, 1)
	hold, release := hanging(t, named("held"))
	srv := &http.Server{Protocols: &http.Protocols{}, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/hold" {
				taken <- true
				hold(w, q)
				return
			}
			h(w, q)
		})}
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(&acceptOne{Listener: ln, closed: make(chan bool)})
	t.Cleanup(func() { srv.Close() })
	r = newRig(t, func(o *Options) { o.Upstream.ConnectTimeout = patience })
	r.inOrder(ln.Addr().(*net.TCPAddr).AddrPort(), newH2Server(t, named("there")).addr)
	c = r.h2Client()
	c.Timeout = patience
	var first sync.WaitGroup
	first.Go(func() {
		res, err := c.Post("http://web/hold", "", nil) // which is not raced
		if got := body(t, res, err); got != "held" {
			t.Errorf("got %q", got)
		}
	})
	t.Cleanup(first.Wait)
	<-taken
	fill()
	return r, c, release
}

// As over HTTP/1.x, what an attempt has waited for its connection is no part of the time after which it is raced, and says nothing of how fast its
// endpoint is.
func TestTheTimeToARaceBeginsWithTheStream(t *testing.T) {
	r, c, release := awaitingStream(t, func(w http.ResponseWriter, q *http.Request) {
		time.Sleep(200 * time.Millisecond)
		named("here")(w, q)
	})
	r.with(func(ru *rules.Rules) { ru.HangRace.Floor = 400 * time.Millisecond })
	time.AfterFunc(350*time.Millisecond, release)
	res, err := c.Get("http://web/")
	if got := body(t, res, err); got != "here" {
		t.Errorf("got %q", got)
	}
	ep := r.target.Snapshot().Set.Endpoints[0]
	r.on(func() {
		if d := time.Duration(ep.Load[0].Latency); d > 400*time.Millisecond {
			t.Errorf("the endpoint counts as one that takes %v", d)
		}
	})
}

// Once it is sent it is raced as ever.
func TestAStreamThatHasWaitedIsRaced(t *testing.T) {
	h, _ := hanging(t, named("never"))
	r, c, release := awaitingStream(t, h)
	r.with(func(ru *rules.Rules) { ru.HangRace.Floor = 100 * time.Millisecond })
	time.AfterFunc(250*time.Millisecond, release)
	start := time.Now()
	res, err := c.Get("http://web/")
	if got := body(t, res, err); got != "there" {
		t.Errorf("got %q", got)
	}
	if d := time.Since(start); d < 350*time.Millisecond {
		t.Errorf("it was raced after %v", d)
	}
	r.counts("races won by the second attempt", 1, r.service().Races[1].Load)
}

// An attempt that loses a race hangs if it has taken as long as that since it was sent.
func TestAStreamThatHasWaitedIsNotSaidToHang(t *testing.T) {
	h, _ := hanging(t, named("never"))
	r, c, release := awaitingStream(t, h)
	r.with(func(ru *rules.Rules) {
		ru.HangRace.Floor, ru.Hedge, ru.Ejection.Errors = 400*time.Millisecond, 50*time.Millisecond, 1
	})
	time.AfterFunc(450*time.Millisecond, release)
	res, err := c.Get("http://web/")
	if got := body(t, res, err); got != "there" {
		t.Errorf("got %q", got)
	}
	r.counts("races won by the second attempt", 1, r.service().Races[1].Load)
	r.counts("ejections", 0, r.service().Ejections.Load)
}
