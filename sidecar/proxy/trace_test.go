package proxy

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// explained makes a rig of two servers of which the first answers 503 to the client's request and the second gets it.
func explained(t *testing.T, request string, change func(*rules.Rules)) (r *rig, client, second *peer) {
	t.Helper()
	r = newRig(t)
	a, b := newOrigin(t), newOrigin(t)
	r.ruled(change, r.eps(a.addr, b.addr)...)
	client = r.dial()
	client.send(request)
	first := a.accept()
	first.expectHead("the request")
	first.send(status(503))
	return r, client, b.accept()
}

func TestExplain(t *testing.T) {
	line := regexp.MustCompile(`(?m)^sluice-explain: service=default/web:80; policy=least-request; endpoint=(127.0.0.1:\d+); pod=127.0.0.1:\d+; attempts=2; time=\S+; answered=\S+; ` +
		`tried=127.0.0.1:\d+ server-error/503 \S+\r$`)
	asking := lines("GET / HTTP/1.1", "Host: web", "Sluice-Explain: please")
	for _, c := range []struct {
		name, request string
		explain       rules.Explain
		want          bool
	}{
		{"on", get, rules.ExplainOn, true},
		{"on request", asking, rules.ExplainHeader, true},
		{"not asked for", get, rules.ExplainHeader, false},
		{"off", asking, rules.ExplainOff, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, client, s := explained(t, c.request, func(ru *rules.Rules) { ru.Explain = c.explain })
			s.expect(c.request, "the request, as it came")
			s.send(ok)
			head := client.expectHead("the answer")
			client.expect("ok", "its body")
			switch m := line.FindStringSubmatch(head); {
			case !c.want && strings.Contains(head, "sluice"):
				t.Errorf("got %q, want nothing of ours", head)
			case c.want && (m == nil || m[1] != s.c.LocalAddr().String()):
				t.Errorf("got %q, want a field like %s", head, line)
			}
			if want := ok[:len(ok)-4]; !strings.HasPrefix(head, want) {
				t.Errorf("got %q, want the endpoint's %q", head, want)
			}
			client.close()
		})
	}
}

func TestAttemptHeader(t *testing.T) {
	on := func(ru *rules.Rules) { ru.AttemptHeader = rules.AttemptHeader }
	t.Run("each attempt has its number", func(t *testing.T) {
		_, client, s := explained(t, get, on)
		s.expect(lines("GET / HTTP/1.1", "Host: web", "sluice-attempt: 2"), "the second attempt")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("in the place of one that came, and beside what else is edited", func(t *testing.T) {
		_, client, s := explained(t, lines("GET / HTTP/1.0", "Sluice-Attempt: 1", "Host: web"), on)
		s.expect(lines("GET / HTTP/1.0", "Host: web", "sluice-attempt: 2", "Connection: keep-alive"), "the second attempt")
		s.send(ok)
		client.expectHead("the answer")
		client.close()
	})
	t.Run("a body follows it", func(t *testing.T) {
		put := "PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n"
		_, client, s := explained(t, put+"\r\nbody", on)
		s.expect(put+"sluice-attempt: 2\r\n\r\nbody", "the second attempt")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("a further attempt of a proxy before us is not multiplied", func(t *testing.T) {
		r, a, b := newRig(t), newOrigin(t), newOrigin(t)
		r.ruled(func(ru *rules.Rules) { on(ru); quickRace(ru) }, r.eps(a.addr, b.addr)...)
		client := r.dial()
		client.send(lines("GET / HTTP/1.1", "Host: web", "sluice-attempt: 2"))
		s := a.accept()
		s.expect(lines("GET / HTTP/1.1", "Host: web", "sluice-attempt: 2"), "the request, which proxies behind are to know for what it is")
		client.expectSilence("it is not raced")
		s.send(status(503))
		client.expect(status(503), "the answer")
		b.noConnection("though the request is a further attempt")
		client.close()
	})
}

func TestAccessLog(t *testing.T) {
	var out bytes.Buffer
	log := NewAccessLog(&out)
	r, a, b := newRig(t, func(o *Options) { o.AccessLog = log }), newOrigin(t), newOrigin(t)
	r.ruled(func(ru *rules.Rules) { ru.AccessLog = 1 }, r.eps(a.addr, b.addr)...)
	client := r.dial()
	client.send(lines("GET /path?secret=1 HTTP/1.1", "Host: web"))
	s := a.accept()
	s.expectHead("the request")
	s.send(status(503))
	s = b.accept()
	s.expectHead("the request")
	s.send(ok)
	client.expect(ok, "the answer")
	client.close()
	r.eventually("the request to be counted", func() bool { return r.service().Classes[2].Load() == 1 })
	r.end()
	r.stopped = true
	log.Close()
	var got access
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %q", err, out.String())
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Time); err != nil || got.Seconds <= 0 || len(got.Attempts) != 2 {
		t.Fatalf("got %+v", got)
	}
	if got.Service != "default/web:80" || got.Method != "GET" || got.Path != "/path" || got.Status != 200 || got.Policy != "least-request" ||
		got.Attempts[0].Outcome != "server-error" || got.Attempts[0].Status != 503 || got.Attempts[1].Outcome != "answered" {
		t.Errorf("got %+v", got)
	}
}

func TestAccessLogWaitsForNobody(t *testing.T) {
	blocked := make(chan struct{})
	log := NewAccessLog(writerFunc(func(p []byte) (int, error) { <-blocked; return len(p), nil }))
	for range accessLines + 10 {
		log.add([]byte("line\n"))
	}
	if n := log.Dropped(); n < 9 || n > 10 {
		t.Errorf("%d lines were left out, want those that do not fit", n)
	}
	close(blocked)
	log.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// An endpoint that says when to come back is left alone for so long once it is ejected.
func TestRetryAfterLengthensAnEjection(t *testing.T) {
	bad := newFaulty(t, answering(lines("HTTP/1.1 503 Not now", "Retry-After: 20", "Content-Length: 0")))
	good := newFaulty(t, answering(ok))
	r := newRig(t)
	r.serve(bad.addr, good.addr)
	r.crowd(1, 20, getting, func(_, _, status int, _ string) {
		if status != 200 {
			t.Errorf("status %d", status)
		}
	})
	r.on(func() {
		l := &r.eps(bad.addr)[0].Load[0]
		if out := time.Duration(l.SuspectUntil - r.l.Now()); out < 19*time.Second || out > 20*time.Second {
			t.Errorf("out for %v, want 20 s", out)
		}
	})
}
