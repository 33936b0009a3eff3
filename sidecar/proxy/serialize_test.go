package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

func serialized(r *rules.Rules) {
	r.Shard.Key, r.Shard.Serialize, r.Limits.Queue = "header:account", true, patience
}

// Of a key there is one request under way at a time; different keys do not wait for one another.
func TestRequestsOfAKeyGoOneAtATime(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		p := newPods(t, 2, serialized)
		cl := client(p.r)
		var mu sync.Mutex
		running, most, together := map[string]int{}, 0, 0
		p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
			key := q.Header.Get("account")
			mu.Lock()
			running[key]++
			most = max(most, running[key])
			n := 0
			for _, k := range running {
				n += k
			}
			together = max(together, n)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			running[key]--
			mu.Unlock()
		})
		var all sync.WaitGroup
		for n := range 60 {
			all.Go(func() {
				if status, text, _ := ask(t, cl, "POST", "/", "x", fmt.Sprint("account: ", n%4)); status != 200 {
					t.Errorf("%d %q", status, text)
				}
			})
		}
		all.Wait()
		if most != 1 || together < 2 {
			t.Errorf("%d requests of a key at a time, %d of all keys", most, together)
		}
		cl.CloseIdleConnections()
	})
}

// That holds for the Service, whichever of its ports the requests go to.
func TestThePortsOfAServiceShareTheTurnsOfItsKeys(t *testing.T) {
	p := newPods(t, 2, serialized)
	also := netip.AddrPortFrom(clusterIP.Addr(), 81)
	s := *p.r.target.Snapshot()
	target := discovery.NewTarget("default", "web", "grpc", 81, &s)
	p.r.resolver.set(also, target)
	entered, hold := make(chan string, 3), make(chan bool)
	p.does(func(_ int, _ http.ResponseWriter, q *http.Request) {
		entered <- q.URL.Path
		<-hold
	})
	raw := p.r.dial()
	raw.send(lines("POST /80 HTTP/1.1", "Host: web", "Account: 7", "Content-Length: 0"))
	if path := got(t, entered, "the first request"); path != "/80" {
		t.Fatal(path)
	}
	p.r.goingTo(also)
	cl := p.r.h2Client()
	var all sync.WaitGroup
	asks := func(path, key string) {
		all.Go(func() {
			if status, text, _ := ask(t, cl, "POST", path, "x", "account: "+key); status != 200 {
				t.Errorf("%s: %d %q", path, status, text)
			}
		})
	}
	asks("/81", "7")
	p.r.eventually("the request of the key at the other port to wait", func() bool { return p.r.m.Service(target.Name, 0).ForTurn.Load() == 1 })
	asks("/81/other", "8")
	if path := got(t, entered, "a request of another key"); path != "/81/other" {
		t.Errorf("%s is under way with the first one of its key", path)
	}
	close(hold)
	if path := got(t, entered, "the request that waited"); path != "/81" {
		t.Errorf("%s came last", path)
	}
	all.Wait()
	raw.close()
	cl.CloseIdleConnections()
}

func TestWhoSharesTurns(t *testing.T) {
	s := NewShared()
	of := func(name string) *turns { return s.turnsOf(s.of(name)) }
	web := of("default/web:80")
	for name, same := range map[string]bool{"default/web:80": true, "default/web:81": true, "default/web2:80": false, "default/we:80": false,
		"shop/web:80": false, unknownName: false} {
		if got := of(name) == web; got != same {
			t.Errorf("%s shares the turns of default/web:80: %v, want %v", name, got, same)
		}
	}
	if of(unknownName) == of(unknownName+"/web:80") {
		t.Error("a Service shares turns with what is none")
	}
	// Each port has as many that wait as max-pending says.
	take := func(port string) *ticket {
		c := s.of("default/web:" + port)
		k, _ := s.turnsOf(c).take(nil, 7, &c.inLine, 1)
		return k
	}
	for n, c := range []struct {
		port  string
		there bool
	}{{"80", true}, {"80", true}, {"80", false}, {"81", true}, {"81", false}} {
		if there := take(c.port) != nil; there != c.there {
			t.Errorf("request %d, to port %s, is let wait: %v", n, c.port, there)
		}
	}
}

// A request that became a tunnel is under way until that ends.
func TestATunnelKeepsItsKeysTurn(t *testing.T) {
	r, o := one(t)
	r.keyed(serialized, r.eps(o.addr)...)
	keyed := func(request string) string { return strings.Replace(request, "\r\n\r\n", "\r\naccount: 1\r\n\r\n", 1) }
	client, other := r.dial(), r.dial()
	client.send(keyed(handshake))
	s := o.accept()
	s.expect(keyed(handshake), "the handshake")
	s.send(switching)
	client.expect(switching, "the answer")
	other.send(keyed(get))
	r.eventually("the next request of the key to wait", func() bool {
		c := r.w.o.Shared.of(r.target.Name)
		t := r.w.o.Shared.turnsOf(c)
		t.mu.Lock()
		defer t.mu.Unlock()
		return c.inLine == 1
	})
	o.noConnection("the next request waits for the tunnel's end")
	client.close()
	s.expectEnd("the client's FIN")
	s.close()
	next := o.accept()
	next.expect(keyed(get), "the next request of the key")
	next.send(ok)
	other.expect(ok, "its answer")
	other.close()
}

func TestTurns(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		// busy has the first request of a key under way until end is called.
		busy := func(t *testing.T, change func(*rules.Rules)) (p *pods, cl *http.Client, end func()) {
			t.Helper()
			p = newPods(t, 1, func(r *rules.Rules) { serialized(r); change(r) })
			cl = client(p.r)
			hold, entered, first := make(chan bool), make(chan bool), atomic.Bool{}
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if !first.Swap(true) {
					close(entered)
					<-hold
				}
			})
			var done sync.WaitGroup
			done.Go(func() { ask(t, cl, "GET", "/", "", "account: 1") })
			got(t, entered, "the first request")
			return p, cl, func() { close(hold); done.Wait(); cl.CloseIdleConnections() }
		}
		t.Run("too many wait", func(t *testing.T) {
			p, cl, end := busy(t, func(r *rules.Rules) { r.Limits.Pending = 0 })
			if status, text, _ := ask(t, cl, "GET", "/", "", "account: 1"); status != 503 || !strings.Contains(text, "0 requests to default/web:80 wait for their turn already") {
				t.Errorf("%d %q", status, text)
			}
			if status, _, _ := ask(t, cl, "GET", "/", "", "account: 2"); status != 200 {
				t.Errorf("%d for another key", status)
			}
			p.r.counts("requests refused", 1, p.r.service().Turns[metrics.TurnQueue].Load)
			end()
		})
		t.Run("one waits too long", func(t *testing.T) {
			p, cl, end := busy(t, func(r *rules.Rules) { r.Limits.Queue = 20 * time.Millisecond })
			status, text, _ := ask(t, cl, "GET", "/", "", "account: 1")
			if status != 503 || !strings.Contains(text, "one at a time (sluice.mesh/shard-serialize), and this one has waited 20ms (sluice.mesh/queue-timeout)") {
				t.Errorf("%d %q", status, text)
			}
			p.r.counts("requests refused", 1, p.r.service().Turns[metrics.TurnLate].Load)
			end()
			if status, _, _ := ask(t, cl, "GET", "/", "", "account: 1"); status != 200 {
				t.Errorf("%d behind the first one's end", status)
			}
			cl.CloseIdleConnections()
		})
		t.Run("the time of one is over before its turn", func(t *testing.T) {
			p, cl, end := busy(t, func(*rules.Rules) {})
			p.r.with(func(r *rules.Rules) { r.Timeout = 20 * time.Millisecond })
			status, text, _ := ask(t, cl, "GET", "/", "", "account: 1")
			if status != 504 || !strings.Contains(text, "one at a time (sluice.mesh/shard-serialize); the request's time is over, which is 20ms, its sluice.mesh/timeout") {
				t.Errorf("%d %q", status, text)
			}
			p.r.counts("timeouts of requests", 1, p.r.service().Timeouts[1].Load)
			p.r.with(func(r *rules.Rules) { r.Timeout = 0 })
			end()
			cl.CloseIdleConnections()
		})
		t.Run("the time of the one under way is over", func(t *testing.T) {
			p := newPods(t, 1, func(r *rules.Rules) { serialized(r); r.Timeout = 100 * time.Millisecond })
			cl := client(p.r)
			told, first := make(chan bool), atomic.Bool{}
			p.does(func(_ int, _ http.ResponseWriter, q *http.Request) {
				if !first.Swap(true) {
					io.Copy(io.Discard, q.Body)
					<-q.Context().Done() // its connection is closed, or its stream reset
					close(told)
				}
			})
			late := make(chan int, 1)
			go func() {
				status, _, _ := ask(t, cl, "POST", "/", "x", "account: 1")
				late <- status
			}()
			p.r.eventually("the first request", first.Load)
			p.r.with(func(r *rules.Rules) { r.Timeout = 0 })
			if status, _, _ := ask(t, cl, "POST", "/", "x", "account: 1"); status != 200 {
				t.Errorf("%d for the next one", status)
			}
			if status := got(t, late, "the first answer"); status != 504 {
				t.Errorf("%d for the one that takes too long", status)
			}
			got(t, told, "the pod to be told")
			p.r.counts("requests waited", 1, p.r.service().Turns[metrics.TurnWaited].Load)
			cl.CloseIdleConnections()
		})
		t.Run("one that waits leaves, and the next has its turn", func(t *testing.T) {
			p, cl, end := busy(t, func(r *rules.Rules) {})
			waits := func(n int64) {
				t.Helper()
				p.r.eventually("requests to wait", func() bool { return p.r.service().ForTurn.Load() == n })
			}
			raw := p.r.dial()
			raw.send(lines("GET / HTTP/1.1", "Host: web", "Account: 1"))
			waits(1)
			var done sync.WaitGroup
			done.Go(func() {
				if status, _, _ := ask(t, cl, "GET", "/", "", "account: 1"); status != 200 {
					t.Errorf("%d for the third one", status)
				}
			})
			waits(2)
			raw.reset()
			waits(1)
			end()
			done.Wait()
			cl.CloseIdleConnections()
		})
	})
}

// Lines of tickets answer like lists, whatever comes when; tickets of a loop that has ended are passed over.
func TestLinesOfTickets(t *testing.T) {
	live, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go live.Run()
	dead, err := loop.New(loop.Options{})
	if err != nil {
		t.Fatal(err)
	}
	go dead.Run()
	dead.Stop()
	<-dead.Done()
	defer func() { live.Stop(); <-live.Done() }()

	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := NewShared()
		c := s.of("web")
		ts := s.turnsOf(c)
		twin := map[uint64][]*ticket{}
		waiting := 0
		for range 300 {
			hash := rnd.Uint64N(3)
			line := twin[hash]
			if len(line) > 0 && rnd.IntN(2) == 0 {
				i := rnd.IntN(len(line))
				k := line[i]
				k.done()
				k.done() // once more does nothing
				line = slices.Delete(line, i, i+1)
				if i > 0 {
					waiting--
				} else {
					for len(line) > 0 {
						waiting--
						if line[0].l == live {
							break
						}
						line = line[1:]
					}
				}
				twin[hash] = line
			} else {
				l := live
				if len(line) > 0 && rnd.IntN(4) == 0 {
					l = dead
				}
				k, now := ts.take(l, hash, &c.inLine, 1000)
				if now != (len(line) == 0) {
					t.Fatalf("seed %d: its turn: %v, behind %d", seed, now, len(line))
				}
				if !now {
					waiting++
				}
				twin[hash] = append(line, k)
			}
			for hash, line := range twin {
				first := ts.lines[hash]
				for i, k := range line {
					if first != k {
						t.Fatalf("seed %d: place %d of line %d is wrong", seed, i, hash)
					}
					first = first.next
				}
				if first != nil {
					t.Fatalf("seed %d: line %d is too long", seed, hash)
				}
			}
			if c.inLine != waiting {
				t.Fatalf("seed %d: %d wait, want %d", seed, c.inLine, waiting)
			}
		}
	}
}

// While the request whose turn it is waits for the owner, those behind it wait for the owner as well: as long as they may, and not for
// queue-timeout alone.
func TestTurnsWhileTheOwnerIsAway(t *testing.T) {
	type answer struct {
		status int
		text   string
		took   time.Duration
	}
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		// behind answers pods whose web-2 is away, or cannot be connected to, and the answers to come to a request that waits for it and to one
		// that waits behind that.
		behind := func(t *testing.T, wait time.Duration, away func(p *pods)) (p *pods, key string, cl *http.Client, first, second chan answer) {
			p = newPods(t, 4, func(r *rules.Rules) {
				serialized(r)
				r.Shard.Fallback, r.Shard.FallbackWait, r.Limits.Queue = rules.FallWait, wait, 50*time.Millisecond
			})
			cl, key = client(p.r), p.keyOf(2)
			away(p)
			ask := func(to chan answer) {
				began := time.Now()
				status, text, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
				to <- answer{status, text, time.Since(began)}
			}
			first, second = make(chan answer, 1), make(chan answer, 1)
			go ask(first)
			p.r.eventually("a request to wait for the owner", func() bool { return p.r.service().ForOwner.Load() == 1 })
			go ask(second)
			p.r.eventually("another to wait for its turn", func() bool { return p.r.service().ForTurn.Load() == 1 })
			t.Cleanup(cl.CloseIdleConnections)
			return p, key, cl, first, second
		}
		unpublished := func(p *pods) { p.publish(2) }
		const longer = 300 * time.Millisecond // than queue-timeout
		t.Run("it comes back", func(t *testing.T) {
			p, _, _, first, second := behind(t, patience, unpublished)
			time.Sleep(longer)
			p.publish()
			for _, c := range []chan answer{first, second} {
				if a := got(t, c, "an answer"); a.status != 200 || a.text != "web-2" {
					t.Errorf("%+v", a)
				}
			}
		})
		t.Run("it cannot be connected to for a while", func(t *testing.T) {
			p, _, _, first, second := behind(t, patience, func(p *pods) { p.kill(2) })
			time.Sleep(longer)
			p.start(t, 2)
			for _, c := range []chan answer{first, second} {
				if a := got(t, c, "an answer"); a.status != 200 || a.text != "web-2" {
					t.Errorf("%+v", a)
				}
			}
		})
		t.Run("it does not", func(t *testing.T) {
			const wait = time.Second
			_, _, _, first, second := behind(t, wait, unpublished)
			for _, c := range []chan answer{first, second} {
				a := got(t, c, "an answer")
				if a.status != 503 || !strings.Contains(a.text, "web-2 of default/web:80 owns the key of this request and is not ready; the request has waited 1") {
					t.Errorf("%+v", a)
				}
				if a.took < wait || a.took > wait+wait/2 {
					t.Errorf("answered after %v, want %v: that is how long the request waits for its owner in all", a.took, wait)
				}
			}
		})
		t.Run("the one whose turn it is leaves", func(t *testing.T) {
			p := newPods(t, 4, func(r *rules.Rules) {
				serialized(r)
				r.Shard.Fallback, r.Shard.FallbackWait, r.Limits.Queue = rules.FallWait, patience, 50*time.Millisecond
			})
			p.publish(2)
			cl, key := client(p.r), p.keyOf(2)
			raw := p.r.dial()
			raw.send(lines("GET / HTTP/1.1", "Host: web", "Account: "+key))
			p.r.eventually("a request to wait for the owner", func() bool { return p.r.service().ForOwner.Load() == 1 })
			second, third := make(chan answer, 1), make(chan answer, 1)
			for n, c := range []chan answer{second, third} {
				go func() {
					status, text, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
					c <- answer{status: status, text: text}
				}()
				p.r.eventually("others to wait for their turn", func() bool { return p.r.service().ForTurn.Load() == int64(n)+1 })
			}
			raw.reset()
			p.r.eventually("the next to wait for the owner", func() bool { return p.r.service().ForTurn.Load() == 1 && p.r.service().ForOwner.Load() == 1 })
			time.Sleep(longer)
			p.publish()
			for _, c := range []chan answer{second, third} {
				if a := got(t, c, "an answer"); a.status != 200 || a.text != "web-2" {
					t.Errorf("%+v", a)
				}
			}
			cl.CloseIdleConnections()
		})
		t.Run("it is there, and takes its time", func(t *testing.T) {
			p, key, cl, first, second := behind(t, patience, unpublished)
			hold, entered := make(chan bool), make(chan bool, 3)
			p.does(func(int, http.ResponseWriter, *http.Request) { entered <- true; <-hold })
			p.publish()
			got(t, entered, "the first request")
			if a := got(t, second, "an answer"); a.status != 503 || !strings.Contains(a.text, "(sluice.mesh/queue-timeout)") || a.took > patience/2 {
				t.Errorf("%+v", a)
			}
			status, text, _ := ask(t, cl, "POST", "/", "x", "account: "+key)
			if status != 503 || !strings.Contains(text, "this one has waited 50ms (sluice.mesh/queue-timeout)") {
				t.Errorf("%d %q", status, text)
			}
			close(hold)
			if a := got(t, first, "an answer"); a.status != 200 {
				t.Errorf("%+v", a)
			}
		})
	})
}
