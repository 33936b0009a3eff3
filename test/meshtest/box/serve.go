package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// serveSettings are the flags of "box serve"; an empty address means no server.
type serveSettings struct {
	http, control, tls, banner, echo string

	pod, node  string // the downward API gives POD_NAME and NODE_NAME
	certNames  string
	onSIGTERM  string
	drain      time.Duration
	startDelay time.Duration
	unready    bool
	effects    string
}

// A server is one of ours on its listener; *http.Server is one.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
}

func serve(ctx context.Context, args []string, _ io.Writer) error {
	hostname, _ := os.Hostname() // a host without a name is an empty name here
	var s serveSettings
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	fs.StringVar(&s.http, "http", ":8080", "HTTP/1 and h2c (prior knowledge)")
	fs.StringVar(&s.control, "control", ":8081", "the same without faults, and /fault")
	fs.StringVar(&s.tls, "tls", ":8443", "HTTPS with a self-signed certificate")
	fs.StringVar(&s.banner, "banner", ":9000", "TCP: the server speaks first, then echoes")
	fs.StringVar(&s.echo, "echo", ":9001", "TCP: echoes, and half-closes when the client does")
	fs.StringVar(&s.pod, "pod", cmp.Or(os.Getenv("POD_NAME"), hostname), "name to answer with, also POD_NAME")
	fs.StringVar(&s.node, "node", os.Getenv("NODE_NAME"), "name of the node, also NODE_NAME")
	fs.StringVar(&s.certNames, "cert-names", "box.test,localhost", "names of the certificate, with commas")
	fs.StringVar(&s.onSIGTERM, "on-sigterm", "graceful", "graceful (finish what runs), exit (at once) or ignore")
	fs.DurationVar(&s.drain, "drain", 10*time.Second, "longest time to finish what runs")
	fs.DurationVar(&s.startDelay, "start-delay", 0, "time before the servers listen")
	fs.BoolVar(&s.unready, "unready", false, "start with /readyz refusing")
	fs.StringVar(&s.effects, "effects-file", "", "append a line for each request to this file, the name in its "+effectHeader+": it outlives the pod")
	if err := parse(fs, args, 0); err != nil {
		return err
	}
	return s.run(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// run serves until the context ends, then stops as told.
func (s serveSettings) run(ctx context.Context, log *slog.Logger) error {
	switch s.onSIGTERM {
	case "graceful", "exit", "ignore":
	default:
		return fmt.Errorf("--on-sigterm=%s: want graceful, exit or ignore", s.onSIGTERM)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(s.startDelay):
	}
	servers, err := s.start(log)
	if err != nil {
		return err
	}
	<-ctx.Done()
	log.Info("signal", "then", s.onSIGTERM)
	switch s.onSIGTERM {
	case "exit":
		return nil
	case "ignore":
		select {} // until SIGKILL
	}
	return stop(servers, s.drain)
}

// start opens every listener before it serves on any of them.
func (s serveSettings) start(log *slog.Logger) ([]server, error) {
	cert, err := selfSigned(s.certNames)
	if err != nil {
		return nil, err
	}
	a := newApp(s.pod, s.node)
	a.ready.Store(!s.unready)
	a.certSHA256 = fingerprint(cert.Certificate[0])
	if s.effects != "" {
		if a.effects.file, err = os.OpenFile(s.effects, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err != nil {
			return nil, fmt.Errorf("--effects-file: %w", err)
		}
	}
	secure := tlsServer{newServer(a.faulty())}
	secure.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}

	var servers []server
	var listeners []net.Listener
	for _, l := range []struct {
		flag, addr string
		server     server
		refusing   bool // whether the fault "refuse" closes it
	}{
		{"http", s.http, newServer(a.faulty()), true},
		{"control", s.control, newServer(a.control()), false},
		{"tls", s.tls, secure, true},
		{"banner", s.banner, newTCPServer(s.pod, true), true},
		{"echo", s.echo, newTCPServer(s.pod, false), true},
	} {
		if l.addr == "" {
			continue
		}
		ln, err := net.Listen("tcp", l.addr)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", l.flag, err)
		}
		log.Info("listening", "server", l.flag, "address", ln.Addr().String(), "pod", s.pod)
		if l.refusing {
			ln = a.fault.listener(ln)
		}
		servers, listeners = append(servers, l.server), append(listeners, ln)
	}
	for i, srv := range servers {
		go func() {
			err := srv.Serve(listeners[i])
			if !errors.Is(err, http.ErrServerClosed) {
				log.Error("server ended", "address", listeners[i].Addr().String(), "error", err)
			}
		}()
	}
	return servers, nil
}

func newServer(h http.Handler) *http.Server {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return srv
}

// tlsServer serves HTTPS with the certificate of its configuration.
type tlsServer struct{ *http.Server }

func (s tlsServer) Serve(l net.Listener) error { return s.ServeTLS(l, "", "") }

// stop closes the listeners and lets what runs finish, for drain at most.
func stop(servers []server, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, srv := range servers {
		wg.Go(func() { errs[i] = srv.Shutdown(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
