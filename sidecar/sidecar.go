package sidecar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/admin"
	"github.com/sluice-mesh/sluice/sidecar/classify"
	"github.com/sluice-mesh/sluice/sidecar/config"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/h1"
	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
	"github.com/sluice-mesh/sluice/sidecar/listener"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/metrics"
	"github.com/sluice-mesh/sluice/sidecar/proxy"
	"github.com/sluice-mesh/sluice/sidecar/retry"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
	"github.com/sluice-mesh/sluice/sidecar/upstream"
)

// stopTime bounds how long loops may take to end after their connections were cut.
const stopTime = 5 * time.Second

// Run runs the sidecar until stop is done and the connections it serves have ended, or until kill is done, which cuts them.
func Run(stop, kill context.Context, s *config.Settings, log *slog.Logger) error {
	n := s.Loops
	if n == 0 {
		n = processors()
	}
	runtime.GOMAXPROCS(n)
	limitMemory()

	resolver, err := newResolver(s, n, log)
	if err != nil {
		return err
	}
	m := metrics.New(n, words())
	memory := retry.NewMemory(retry.MemoryMost)
	access := proxy.NewAccessLog(os.Stdout)
	defer access.Close() // once the loops have ended
	p, err := newProcess(s, n, resolver, m, memory, access, log)
	if err != nil {
		return err
	}
	adm, err := admin.New(admin.Options{
		HealthAddr: netip.AddrPortFrom(netip.IPv6Unspecified(), s.HealthPort), AdminPort: s.AdminPort, Pprof: s.Pprof,
		Resolver: resolver, Settings: s, Log: log, Loops: p.loops,
		Collector: m.Collector(metrics.Sources{Loops: p.stats, Replay: memory.Stats, Discovery: func() (bool, time.Duration, int) {
			st := resolver.Status()
			return st.Synced, st.Age, len(st.Targets)
		}}),
	})
	if err != nil {
		p.end()
		return err
	}
	background, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if err := resolver.Run(background); err != nil && !errors.Is(err, context.Canceled) {
			log.Error("discovery ended", slog.Any("error", err))
		}
	}()
	p.start()
	adm.Start()
	go p.scavenge(background)
	log.Info("ready to serve", slog.Any("listen", p.addrs()), slog.Int("loops", n), slog.String("discovery", s.Discovery),
		slog.String("engine", loop.Implementation))

	select {
	case <-stop.Done():
		log.Info("draining", slog.Int64("connections", p.open()))
		p.drain(kill, s)
	case <-kill.Done():
	}
	p.end()
	adm.Close()
	log.Info("ended")
	return nil
}

func words() metrics.Words {
	w := metrics.Words{Outcomes: classify.Outcomes()}
	for r := range h1.Reasons {
		for len(w.Refusals) < int(r) {
			w.Refusals = append(w.Refusals, "unknown")
		}
		w.Refusals = append(w.Refusals, r.String())
	}
	for r := range frame.Reasons {
		w.Violations = append(w.Violations, r.String())
	}
	for r := discovery.Found; r <= discovery.LastReason; r++ {
		w.Passthroughs = append(w.Passthroughs, r.String())
	}
	for o := shardkey.Found; o <= shardkey.LastOutcome; o++ {
		w.Keys = append(w.Keys, o.String())
	}
	return w
}

// process is the data path: loops with their listeners and workers.
type process struct {
	loops     []*loop.Loop
	workers   []*proxy.Worker
	listeners [][]*loop.Listener // of each loop
	gate      *listener.Gate
	started   bool
	metrics   *metrics.Metrics
	log       *slog.Logger
}

func newProcess(s *config.Settings, n int, r discovery.Resolver, m *metrics.Metrics, memory *retry.Memory, access *proxy.AccessLog,
	log *slog.Logger) (*process, error) {
	p := &process{metrics: m, log: log}
	most := s.MaxConnections
	if most == 0 {
		most = mostConnections()
	}
	p.gate = listener.NewGate(most, log)
	shared := proxy.NewShared()
	shared.MaxRequests, shared.MaxPending = s.MaxRequests, s.MaxPending
	up := upstream.Defaults()
	up.ConnectTimeout, up.IdleTimeout = s.ConnectTimeout, s.IdleTimeout
	up.HTTP2.MaxStreams = uint32(s.MaxStreams)
	o := proxy.Options{Resolver: r, Metrics: m, Log: log, Loops: n, Upstream: up, Budget: retry.Defaults(), Memory: memory, AccessLog: access,
		HeadLimit: s.HeadLimit, ResolveTimeout: s.ResolveTimeout, ParseUnknown: s.ParseUnknown, Shared: shared}
	for i := range n {
		l, err := loop.New(loop.Options{Index: i, OnPanic: func(v any, stack []byte) {
			m.Loop(i).Panics.Add(1)
			log.Error("panic contained", slog.Any("value", v), slog.String("stack", string(stack)))
		}})
		if err != nil {
			p.end()
			return nil, fmt.Errorf("event loop %d: %w", i, err)
		}
		p.loops = append(p.loops, l)
		p.workers = append(p.workers, proxy.New(l, o))
		lns, err := listen(l, s.ProxyPort)
		p.listeners = append(p.listeners, lns)
		if err != nil {
			p.end()
			return nil, fmt.Errorf("--%s: %w", config.ProxyPort, err)
		}
	}
	return p, nil
}

// listen binds the loopback addresses; a kernel without IPv6 has only one.
func listen(l *loop.Loop, port uint16) ([]*loop.Listener, error) {
	v4, err := l.Listen(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	if err != nil {
		return nil, err
	}
	lns := []*loop.Listener{v4}
	v6, err := l.Listen(netip.AddrPortFrom(netip.IPv6Loopback(), port))
	if err == nil {
		return append(lns, v6), nil
	}
	if probe, perr := net.Listen("tcp", "[::1]:0"); perr == nil {
		probe.Close()
		return lns, err
	}
	return lns, nil
}

func (p *process) start() {
	p.started = true
	for i, l := range p.loops {
		for _, ln := range p.listeners[i] {
			l.Go(func() {
				err := listener.Serve(l, ln, listener.Options{Serve: p.workers[i].Serve, Gate: p.gate, Stats: p.metrics.Loop(i)})
				if err != nil {
					p.log.Error("listener ended", slog.Any("error", err))
				}
			})
		}
		go l.Run()
	}
}

func (p *process) addrs() (a []string) {
	for _, ln := range p.listeners[0] {
		a = append(a, ln.Addr().String())
	}
	return a
}

func (p *process) stats() []loop.Stats {
	s := make([]loop.Stats, len(p.loops))
	for i, l := range p.loops {
		s[i] = l.Stats()
	}
	return s
}

// open answers how many connections of applications are open.
func (p *process) open() (n int64) {
	for i := range p.loops {
		n += p.metrics.Loop(i).Open.Load()
	}
	return n
}

// drain goes on serving, new connections included, until there are none. With native termination the application has ended
// before SIGTERM comes, so no connection means the end; with classic it may still make some, so there must be none for a while.
func (p *process) drain(kill context.Context, s *config.Settings) {
	need := s.DrainIdle
	if s.Native {
		need = 0
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var since time.Time
	for {
		if p.open() > 0 {
			since = time.Time{}
		} else {
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) >= need {
				return
			}
		}
		select {
		case <-tick.C:
		case <-kill.Done():
			return
		}
	}
}

// end stops all loops; connections that are still open are cut.
func (p *process) end() {
	for i, l := range p.loops {
		if i < len(p.workers) {
			l.Post(p.workers[i].Close)
		}
		l.Stop()
		if !p.started {
			go l.Run() // it ends at once, and closes what the loop holds
		}
	}
	late := time.After(stopTime)
	for i, l := range p.loops {
		select {
		case <-l.Done():
		case <-late:
			p.log.Error("an event loop did not end in time", slog.Int("loop", i))
			return
		}
	}
}
