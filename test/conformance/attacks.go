package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/test/attack"
)

// What an attack may do, at most.
const (
	attackTime    = 3 * time.Second
	attackMemory  = 20 << 20 // more than the proxy had before, in bytes
	attackSpared  = 250      // requests that reach the server, or as many as may be open at a time where that is the attack, and
	attackPerTime = 100      // more for each second
	// innocentTime is for a call of an innocent client, but for one of each whole hundred. Attacker, proxy, server and that client share what
	// cores there are: with two, the longest call of some hundreds took up to 123 ms while a thousand answers began at once, and all but 1 %
	// took 71 ms at most. An attack that ends at once leaves time for twenty calls, and none of these is excepted.
	innocentTime = 100 * time.Millisecond
	badAddr      = "127.0.0.1:8087" // where servers misbehave
	badLimit     = 6 * time.Second  // for a client of theirs
	badRequests  = 4                // that one of the client's becomes, which is asked again when it was not processed
)

// attacks makes a suite of attacks from clients, on one connection each, while an innocent client is served.
func attacks(differences ...difference) *suite {
	s := &suite{name: "attacks from clients", source: "test/attack", quick: true, figures: true, least: len(attack.Clients), columns: []string{asAService}, differences: differences}
	run := func(ctx context.Context, r *rig, names ...string) (results, error) {
		if err := r.renew(); err != nil { // what was there before is not this suite's memory
			return nil, err
		}
		victim, err := startVictim(r)
		if err != nil {
			return nil, err
		}
		defer victim.stop()
		rs := results{}
		for _, a := range attack.Clients {
			if len(names) > 0 && names[0] != a.Name {
				continue
			}
			if rs[a.Name], err = tryAttack(ctx, r, a, victim); err != nil {
				return nil, fmt.Errorf("%s: %w", a.Name, err)
			}
		}
		return rs, ctx.Err()
	}
	s.run = func(ctx context.Context, _ string, r *rig) (results, error) { return run(ctx, r) }
	s.again = func(ctx context.Context, _ string, r *rig, name string) (verdict, error) {
		rs, err := run(ctx, r, name)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

// victim is a server that is attacked through the proxy and serves an innocent client too.
type victim struct {
	attacked atomic.Int64 // requests of an attack
	stop     func()
}

func startVictim(r *rig) (*victim, error) {
	l, err := r.Listen("tcp", serverAddr)
	if err != nil {
		return nil, err
	}
	v := &victim{}
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, attack.Answer) })
	h := attack.Handler()
	m.HandleFunc("/attack/", func(w http.ResponseWriter, q *http.Request) {
		v.attacked.Add(1)
		h.ServeHTTP(w, q)
	})
	s := &http.Server{Handler: m, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	v.stop = func() { s.Close() }
	return v, nil
}

// settled answers how many requests an attack made that is over. What was on its way then is that attack's, and not the next one's.
func (v *victim) settled() int64 {
	n := v.attacked.Load()
	for range 50 {
		time.Sleep(10 * innocentEvery)
		last := n
		if n = v.attacked.Load(); n == last {
			break
		}
	}
	return n
}

func tryAttack(ctx context.Context, r *rig, a attack.Client, v *victim) (verdict, error) {
	began := time.Now()
	before := v.attacked.Load()
	i := startInnocent(ctx, r, serverURL+"/")
	defer i.end()
	time.Sleep(10 * innocentEvery) // it is connected, and its memory not the attack's
	m, err := watchMemory(ctx, r.pid)
	if err != nil {
		return verdict{}, err
	}
	o, err := a.Run(ctx, dialer(r, serverAddr), attackTime)
	caused := v.settled() - before
	grown := m.end()
	if err != nil {
		return verdict{}, err
	}
	i.end()
	most := int64(attackSpared)
	if a.Opens {
		most = max(most, int64(o.Settings[http2.SettingMaxConcurrentStreams]))
	}
	most += int64(attackPerTime * o.Took.Seconds())
	var wrong []string
	complain := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	complain(len(i.took) < 2, "the innocent client made no call but its first")
	complain(i.within() > innocentTime, "innocent calls took %v, at most %v", i.within(), innocentTime)
	complain(i.failed > 0, "%d of %d innocent calls failed: %v", i.failed, len(i.took), i.first)
	complain(caused > most, "%d requests reached the server, at most %d", caused, most)
	complain(grown > attackMemory, "%.1f MiB more memory", float64(grown)/(1<<20))
	complain(!a.Right(o), "ended by GOAWAY %v, closed %v; want one of %v, may live on %v", o.GoAway, o.Closed, a.Codes, a.Endured)
	figures := fmt.Sprintf("%d frames in %v, GOAWAY %v, closed %v, RST_STREAM %v, %d requests reached the server, %.1f MiB, innocents: %v",
		o.Sent, o.Took.Round(time.Millisecond), o.GoAway, o.Closed, o.Resets, caused, float64(grown)/(1<<20), i)
	return verdict{ok: len(wrong) == 0, detail: strings.TrimPrefix(strings.Join(wrong, "; ")+"; "+figures, "; "), took: time.Since(began)}, nil
}

// badServers makes a suite of servers that misbehave: their clients get an answer or an error, in time, and the client of another
// server notices nothing.
func badServers(differences ...difference) *suite {
	s := &suite{name: "attacks from servers", source: "test/attack", quick: true, figures: true, least: len(attack.Servers), columns: []string{asAService}, differences: differences}
	run := func(ctx context.Context, r *rig, names ...string) (results, error) {
		if err := r.renew(); err != nil {
			return nil, err
		}
		other, err := startVictim(r)
		if err != nil {
			return nil, err
		}
		defer other.stop()
		rs := results{}
		for _, a := range attack.Servers {
			if len(names) > 0 && names[0] != a.Name {
				continue
			}
			if rs[a.Name], err = tryServer(ctx, r, a); err != nil {
				return nil, fmt.Errorf("%s: %w", a.Name, err)
			}
		}
		return rs, ctx.Err()
	}
	s.run = func(ctx context.Context, _ string, r *rig) (results, error) { return run(ctx, r) }
	s.again = func(ctx context.Context, _ string, r *rig, name string) (verdict, error) {
		rs, err := run(ctx, r, name)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

func tryServer(ctx context.Context, r *rig, a attack.Server) (verdict, error) {
	began := time.Now()
	l, err := listenSoon(ctx, r, badAddr)
	if err != nil {
		return verdict{}, err
	}
	i := startInnocent(ctx, r, serverURL+"/")
	defer i.end()
	m, err := watchMemory(ctx, r.pid)
	if err != nil {
		l.Close()
		return verdict{}, err
	}
	v := a.Serve(l, attackTime)
	got := a.Ask(ctx, dialer(r, badAddr), badLimit)
	time.Sleep(5 * innocentEvery)
	grown := m.end()
	l.Close()
	seen, requests := v.End()
	i.end()
	var wrong []string
	complain := func(bad bool, format string, args ...any) {
		if bad {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	complain(len(i.took) < 2, "the client of another server made no call but its first")
	complain(i.within() > innocentTime, "calls to another server took %v, at most %v", i.within(), innocentTime)
	complain(i.failed > 0, "%d of %d calls to another server failed: %v", i.failed, len(i.took), i.first)
	complain(grown > attackMemory, "%.1f MiB more memory", float64(grown)/(1<<20))
	complain(!got.Right(a), "want %v", a.Want)
	complain(requests > badRequests, "%d requests reached it, at most %d", requests, badRequests)
	for _, s := range seen {
		complain(!a.Told(s), "a connection of it was not told one of %v", a.Codes)
	}
	figures := fmt.Sprintf("the client got %v; %d requests on %d connections; %.1f MiB; another server: %v; the server saw",
		got, requests, len(seen), float64(grown)/(1<<20), i)
	for _, s := range seen {
		figures += fmt.Sprintf(" [GOAWAY %v, RST_STREAM %v, closed %v]", s.GoAway, s.Resets, s.Closed)
	}
	return verdict{ok: len(wrong) == 0, detail: strings.TrimPrefix(strings.Join(wrong, "; ")+"; "+figures, "; "), took: time.Since(began)}, nil
}

// listenSoon listens at an address that was in use a moment ago.
func listenSoon(ctx context.Context, r *rig, addr string) (l net.Listener, err error) {
	for range 50 {
		if l, err = r.Listen("tcp", addr); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return l, err
}
