package proxy

import (
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// An interim answer is no answer: what comes behind it may be asked of another endpoint, as over HTTP/2.
func TestInterimAnswersAndFurtherAttempts(t *testing.T) {
	const proceed = "HTTP/1.1 100 Continue\r\n\r\n"
	two := func(t *testing.T) (r *rig, bad, good *origin, client *peer) {
		r, bad, good = newRig(t), newOrigin(t), newOrigin(t)
		r.inOrder(bad.addr, good.addr)
		return r, bad, good, r.dial()
	}
	hints := lines("HTTP/1.1 103 Early Hints", "Link: x")
	for name, fail := range map[string]func(p *peer){"a reset": (*peer).reset, "the end": (*peer).close, "an error": func(p *peer) { p.send(status(503)) }} {
		t.Run("hints and then "+name, func(t *testing.T) {
			_, bad, good, client := two(t)
			client.send(get)
			s := bad.accept()
			s.expect(get, "the request")
			s.send(hints)
			client.expect(hints, "the interim answer")
			fail(s)
			s = good.accept()
			s.expect(get, "the request again")
			s.send(hints + ok)
			client.expect(hints+ok, "hints may come again")
			client.close()
		})
		t.Run("100 (Continue), the body, and then "+name, func(t *testing.T) {
			_, bad, good, client := two(t)
			head := "PUT / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
			client.send(head)
			s := bad.accept()
			s.expect(head, "the head")
			s.send(proceed)
			client.expect(proceed, "the word to go on")
			client.send("hello")
			s.expect("hello", "the body")
			fail(s)
			s = good.accept()
			s.expect(head+"hello", "the request again")
			s.send(proceed + ok)
			client.expect(ok, "the answer: the word to go on has come already")
			client.send(get)
			s.expect(get, "the next request")
			s.send(ok)
			client.expect(ok, "its answer")
			client.close()
		})
	}
	t.Run("100 (Continue) and then a reset, before the body", func(t *testing.T) {
		_, bad, good, client := two(t)
		head := "PUT / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
		client.send(head)
		s := bad.accept()
		s.expect(head, "the head")
		s.send(proceed)
		client.expect(proceed, "the word to go on")
		s.reset()
		s = good.accept()
		s.expect(head, "the head again")
		s.send(proceed)
		client.send("hello")
		s.expect("hello", "the body")
		s.send(ok)
		client.expect(ok, "the answer")
		client.close()
	})
	t.Run("hints and then nothing: raced", func(t *testing.T) {
		r, client, silent, rest := racing(t, get, 1, func(ru *rules.Rules) { quickRace(ru) })
		silent.send(hints)
		client.expect(hints, "the interim answer")
		s := rest[0].accept()
		s.expect(get, "the request, to another endpoint")
		s.send(ok)
		client.expect(ok, "the answer")
		silent.expectResetOrEnd("the loser is cancelled")
		client.close()
		r.counts("attempts lost a race", 1, func() uint64 { return r.attempts(classify.LostRace) })
	})
	t.Run("100 (Continue) of a rival wins no race", func(t *testing.T) {
		head := "PUT / HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
		_, client, slow, rest := racing(t, head, 1, quickRace)
		slow.send(proceed)
		client.expect(proceed, "the word to go on")
		client.send("hello")
		slow.expect("hello", "the body")
		s := rest[0].accept()
		s.expect(head+"hello", "the request, to another endpoint")
		s.send(proceed)
		client.expectSilence("nobody has answered")
		slow.send(ok)
		client.expect(ok, "the answer")
		s.expectResetOrEnd("the loser is cancelled")
		client.close()
	})
	t.Run("a POST's error is its answer", func(t *testing.T) {
		_, bad, good, client := two(t)
		client.send(post)
		s := bad.accept()
		s.expect(post, "the request")
		s.send(hints + status(503))
		client.expect(hints+status(503), "the answer")
		good.noConnection("though it may have had an effect")
		client.close()
	})
	t.Run("nobody is left: our own answer", func(t *testing.T) {
		_, client, silent, _ := racing(t, get, 0, func(ru *rules.Rules) {})
		silent.send(hints + "nonsense\r\n\r\n")
		client.expect(hints, "the interim answer")
		if got := client.rest(); !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("got %q, want 502", got)
		}
	})
}
