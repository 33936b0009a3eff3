package proxy

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// stalled is a listener whose line of connections that nobody has accepted holds one. Once fill was called a connect hangs.
func stalled(t *testing.T) (ln net.Listener, fill func()) {
	t.Helper()
	loopback := [4]byte{127, 0, 0, 1}
	socket := func(flags int) int {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		return fd
	}
	fd := socket(0)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	also, err := syscall.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(also), "listener")
	defer f.Close()
	if ln, err = net.FileListener(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln, func() {
		for range 2 {
			syscall.Connect(socket(syscall.SOCK_NONBLOCK), &syscall.SockaddrInet4{Addr: loopback, Port: ln.Addr().(*net.TCPAddr).Port})
		}
	}
}

// unanswered answers an address where a connect hangs.
func unanswered(t *testing.T) netip.AddrPort {
	t.Helper()
	ln, fill := stalled(t)
	fill()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// The time of an attempt begins when the request is sent: one that waits for a connection has been nowhere, and goes on elsewhere as after any
// connect that fails.
func TestTheTimeOfAnAttemptBeginsWithTheConnection(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.inOrder(unanswered(t), newH2Server(t, named("good"), either).addr)
		r.with(func(ru *rules.Rules) { ru.PerTryTimeout = 100 * time.Millisecond })
		res, err := client(r).Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); got != "good" {
			t.Errorf("got %q", got)
		}
		r.counts("attempts had their time", 0, func() uint64 { return r.attempts(classify.TimedOut) })
		r.counts("connects failed", 1, func() uint64 { return r.attempts(classify.ConnectFailed) })
	})
}

// A stream that waits for one of few to end is not sent yet either. Once it is, its time runs.
func TestTheTimeOfAnAttemptBeginsWithTheStream(t *testing.T) {
	r, c, _, done := full(t, nil)
	r.with(func(ru *rules.Rules) { ru.PerTryTimeout = 30 * time.Millisecond })
	var posted sync.WaitGroup
	posted.Go(func() {
		res, err := c.Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); got != "here" {
			t.Errorf("got %q", got)
		}
	})
	r.eventually("the dial that fails", func() bool { return r.attempts(classify.ConnectFailed) > 0 })
	time.Sleep(60 * time.Millisecond)
	done()
	posted.Wait()
	r.counts("attempts had their time", 0, func() uint64 { return r.attempts(classify.TimedOut) })
}

// suspected reports whether an endpoint is passed over, for whatever reason.
func (r *rig) suspected(addr netip.AddrPort) (yes bool) {
	load := &r.eps(addr)[0].Load[r.index]
	r.on(func() { yes = load.SuspectUntil > r.l.Now() })
	return yes
}

// The time of a request runs all the while, and a connect takes half of what is left of it at most, as long as there is another endpoint.
// Where that is too little time for a connect it says nothing of the endpoint: the connect goes on behind the request, and its end does.
func TestAConnectLeavesTimeForAnotherEndpoint(t *testing.T) {
	for name, within := range map[string]time.Duration{"with time for a connect": 600 * time.Millisecond,
		"with too little time": 150 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				r.target.HTTP2.Store(true)
				hung := unanswered(t)
				r.inOrder(hung, newH2Server(t, named("good"), either).addr)
				r.with(func(ru *rules.Rules) { ru.Timeout, ru.Ejection.Errors = within, 1 })
				res, err := client(r).Post("http://web/", "", strings.NewReader("x"))
				if got := body(t, res, err); got != "good" {
					t.Errorf("got %q", got)
				}
				r.counts("connects failed", 1, func() uint64 { return r.attempts(classify.ConnectFailed) })
				if within < time.Second/4 && r.suspected(hung) {
					t.Error("the endpoint is passed over before it had time to take a connection")
				}
				r.eventually("the endpoint to be passed over", func() bool { return r.suspected(hung) })
				r.counts("ejections", 0, r.service().Ejections.Load)
			})
		})
	}
}

// Where there is no other endpoint a connect may take all of the request's time.
func TestAConnectToTheLastEndpointTakesWhatIsLeft(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		r.target.HTTP2.Store(true)
		hung := unanswered(t)
		r.inOrder(hung)
		r.with(func(ru *rules.Rules) { ru.Timeout = 300 * time.Millisecond })
		began := time.Now()
		res, err := client(r).Post("http://web/", "", strings.NewReader("x"))
		if got := body(t, res, err); err == nil && res.StatusCode != 504 {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
		if took := time.Since(began); took < 290*time.Millisecond {
			t.Errorf("given up after %v", took)
		}
		r.eventually("the endpoint to be suspect", func() bool { return r.suspected(hung) })
	})
}

// A connection over HTTP/2 is made for whoever needs it next. That it fails is known of the endpoint also when nobody waits for it any more.
func TestAConnectThatNobodyWaitsForAnyMoreSpeaksAgainstTheEndpoint(t *testing.T) {
	r := newRig(t)
	r.target.HTTP2.Store(true)
	hung := unanswered(t)
	r.inOrder(hung, newH2Server(t, named("good")).addr)
	c := r.h2Client()
	c.Timeout = 50 * time.Millisecond
	if _, err := c.Get("http://web/"); err == nil {
		t.Error("an answer came")
	}
	r.eventually("the endpoint to be suspect", func() bool { return r.suspected(hung) })
}

// Once the request is sent its time ends as ever, also where the connect took a while.
func TestTheTimeOfAnAttemptEnds(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		r := newRig(t)
		h, _ := hanging(t, named("late"))
		r.inOrder(unanswered(t), newH2Server(t, h, either).addr)
		r.with(func(ru *rules.Rules) { ru.PerTryTimeout = 100 * time.Millisecond })
		c := client(r)
		c.Timeout = patience
		res, err := c.Post("http://web/", "", io.MultiReader(strings.NewReader("x")))
		if got := body(t, res, err); err == nil && (res.StatusCode != 504 || !strings.Contains(got, "sluice.mesh/per-try-timeout")) {
			t.Errorf("got %d %q", res.StatusCode, got)
		}
	})
}

// 504 says how many attempts there were, and what became of them where there was more than one.
func TestATimeoutSaysWhatWasTried(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*rules.Rules)
		want   string
	}{
		"of an attempt": {func(ru *rules.Rules) { ru.PerTryTimeout = 50 * time.Millisecond },
			"which is its sluice.mesh/per-try-timeout; it was the last of 2 attempts (1 connect-failed, 1 timed-out)\n"},
		"of the request": {func(ru *rules.Rules) { ru.Timeout = 50 * time.Millisecond },
			" (1 connect-failed, 1 timed-out)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
				r := newRig(t)
				h, _ := hanging(t, named("late"))
				r.inOrder(closedPort(t), newH2Server(t, h, either).addr)
				r.with(c.change)
				res, err := client(r).Get("http://web/")
				if got := body(t, res, err); err == nil && (res.StatusCode != 504 || !strings.HasSuffix(got, c.want)) {
					t.Errorf("got %d %q, want %q", res.StatusCode, got, c.want)
				}
			})
		})
	}
}
