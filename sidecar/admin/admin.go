// Package admin serves what people and machines ask of a running sidecar: health and metrics on all addresses, read-only, and
// everything else on the loopback addresses. It lives on ordinary goroutines, beside the loops.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/loop"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Options are the settings of the admin servers.
type Options struct {
	HealthAddr netip.AddrPort // /livez, /readyz, /metrics
	AdminPort  uint16         // the rest, on 127.0.0.1
	Pprof      bool
	Resolver   discovery.Resolver
	Loops      []*loop.Loop
	Collector  prometheus.Collector
	Settings   any // shown at /config
	Log        *slog.Logger
}

const (
	// syncGrace is how long readiness waits for the first answer of discovery. After it the sidecar is ready all the same: it
	// passes connections through, and a pod must not fail to start because the API server is slow.
	syncGrace = 5 * time.Second
	// liveTime is how long a loop may take to answer before the process counts as stuck.
	liveTime = 2 * time.Second
)

// Server is both servers.
type Server struct {
	o       Options
	started time.Time
	health  net.Listener
	admin   net.Listener
	servers []*http.Server
}

// New binds both servers; Start serves.
func New(o Options) (*Server, error) {
	s := &Server{o: o, started: time.Now()}
	var err error
	if s.health, err = net.Listen("tcp", listenAddr(o.HealthAddr)); err != nil {
		return nil, fmt.Errorf("health port: %w", err)
	}
	if s.admin, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(o.AdminPort)))); err != nil {
		s.health.Close()
		return nil, fmt.Errorf("admin port: %w", err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(o.Collector, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	health := http.NewServeMux()
	health.HandleFunc("GET /livez", s.live)
	health.HandleFunc("GET /readyz", s.ready)
	health.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	adm := http.NewServeMux()
	adm.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, o.Settings) })
	adm.HandleFunc("GET /clusters", s.clusters)
	adm.HandleFunc("GET /shard", s.shard)
	if o.Pprof {
		adm.HandleFunc("/debug/pprof/", pprof.Index)
		adm.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		adm.HandleFunc("/debug/pprof/profile", pprof.Profile)
		adm.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		adm.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	for _, h := range []http.Handler{health, adm} {
		s.servers = append(s.servers, &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)})
	}
	return s, nil
}

// listenAddr makes an unspecified address one that takes IPv4 and IPv6, or whichever of them there is.
func listenAddr(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// Start serves on goroutines until Close.
func (s *Server) Start() {
	for i, ln := range []net.Listener{s.health, s.admin} {
		go func() {
			if err := s.servers[i].Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
				s.o.Log.Error("admin server ended", slog.Any("error", err))
			}
		}()
	}
}

// Close ends both servers.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, srv := range s.servers {
		if srv.Shutdown(ctx) != nil {
			srv.Close()
		}
	}
	s.health.Close()
	s.admin.Close()
}

// HealthAddr answers where health is served.
func (s *Server) HealthAddr() string { return s.health.Addr().String() }

// AdminAddr answers where the rest is served.
func (s *Server) AdminAddr() string { return s.admin.Addr().String() }

// live asks every loop for a sign of life.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	answers := make(chan struct{}, len(s.o.Loops))
	for _, l := range s.o.Loops {
		l.Post(func() { answers <- struct{}{} })
	}
	late := time.After(liveTime)
	for i := range s.o.Loops {
		select {
		case <-answers:
		case <-r.Context().Done():
			return
		case <-late:
			http.Error(w, fmt.Sprintf("%d of %d event loops did not answer within %v", len(s.o.Loops)-i, len(s.o.Loops), liveTime),
				http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Resolver.Status()
	switch {
	case st.Synced:
		fmt.Fprintln(w, "ok")
	case time.Since(s.started) > syncGrace:
		fmt.Fprintf(w, "ok: discovery (%s) has not answered yet, connections pass through\n", st.Source)
	default:
		http.Error(w, fmt.Sprintf("waiting for the first answer of discovery (%s)", st.Source), http.StatusServiceUnavailable)
	}
}

// clusterView is one Service port as /clusters shows it.
type clusterView struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	Policy   string `json:"policy"`
	// Settings are the Service's annotations as they are understood, without those that say the default.
	Settings   map[string]string `json:"settings,omitempty"`
	Generation uint64            `json:"generation"`
	Removed    bool              `json:"removed,omitempty"`
	Draining   bool              `json:"terminating,omitempty"`
	Endpoints  []endpointView    `json:"endpoints"`
}

type endpointView struct {
	Addr string `json:"addr"`
	Pod  string `json:"pod,omitempty"`
	Node string `json:"node,omitempty"`
	Zone string `json:"zone,omitempty"`
	// Weight is its share beside the others; left out where the Service's endpoints have none but 1 by default.
	Weight *uint32 `json:"weight,omitempty"`
}

func (s *Server) clusters(w http.ResponseWriter, _ *http.Request) {
	st := s.o.Resolver.Status()
	views := []clusterView{}
	for _, t := range st.Targets {
		snap := t.Snapshot()
		v := clusterView{Name: t.Name, Protocol: snap.Protocol.String(), Policy: snap.Rules.Policy, Settings: rules.Format(snap.Rules), Generation: snap.Set.Generation,
			Removed: t.Removed(), Draining: snap.Set.Terminating, Endpoints: []endpointView{}}
		for i, e := range snap.Set.Endpoints {
			view := endpointView{Addr: e.Addr.String(), Pod: e.Name, Node: e.At().Node, Zone: e.At().Zone}
			if snap.Rules.Weights != "" || snap.Set.Weights != nil {
				weight := balancer.Weights(snap.Rules.Weights).Of(snap.Set, i)
				view.Weight = &weight
			}
			v.Endpoints = append(v.Endpoints, view)
		}
		views = append(views, v)
	}
	writeJSON(w, map[string]any{"source": st.Source, "synced": st.Synced, "age_seconds": st.Age.Seconds(), "problems": append([]string{}, st.Problems...),
		"clusters": views})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(v)
}
