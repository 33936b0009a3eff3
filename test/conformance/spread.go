package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	spreadRequests = 10000
	spreadAtOnce   = 20
	// uneven is the most that the busiest of three endpoints may have to do more than the idlest.
	uneven = 1.1

	agingRate = 200
	agingTime = 6 * time.Second
	// comings is how often a channel connects at least, in that time, that is asked to come again each second.
	comings   = 3
	heldTime  = 4 * time.Second // a stream that none of this ends
	loadLimit = time.Minute     // for one row
)

// row is a case with servers and clients of our own.
type row struct {
	name string
	try  func(ctx context.Context, dir string, r *rig) (figures string, err error)
}

// rowSuite makes a suite of such cases.
func rowSuite(name string, quick bool, rows ...row) *suite {
	s := &suite{name: name, source: "test/conformance, test/grpc", quick: quick, figures: true, least: len(rows), columns: []string{asAService}, prepare: buildPrograms(grpcBox)}
	try := func(ctx context.Context, dir string, r *rig, w row) (verdict, error) {
		ctx, cancel := context.WithTimeout(ctx, loadLimit)
		defer cancel()
		began := time.Now()
		figures, err := w.try(ctx, dir, r)
		if err != nil {
			return verdict{detail: fmt.Sprintf("%v; %s", err, figures), took: time.Since(began)}, nil
		}
		return verdict{ok: true, detail: figures, took: time.Since(began)}, nil
	}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		rs := results{}
		for _, w := range rows {
			var err error
			if rs[w.name], err = try(ctx, dir, r, w); err != nil {
				return nil, err
			}
		}
		return rs, ctx.Err()
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		return try(ctx, dir, r, rows[slices.IndexFunc(rows, func(w row) bool { return w.name == name })])
	}
	return s
}

// spread makes a suite of requests on one connection that are spread over three endpoints, and of connections that servers end.
func spread() *suite {
	return rowSuite("HTTP/2 and gRPC, spread", true,
		row{"10,000 requests on one connection", spreadHTTP},
		row{"10,000 calls on one channel", func(ctx context.Context, dir string, r *rig) (string, error) {
			got, figures, err := loadBoxes(ctx, dir, r, severalPods, severalIP, severalGRPC, nil, "--requests", fmt.Sprint(spreadRequests))
			if err == nil {
				err = even(got.Pods, got.Connections)
			}
			return figures, err
		}},
		row{"connections that live a second, three servers", aging(severalPods, severalIP, severalAging)},
		row{"connections that live a second, one server", aging([]string{"127.0.0.1"}, "127.0.0.1", lonelyAging)},
		row{"a channel that is asked to come again each second, and a stream", comeAgain},
	)
}

func aging(pods []string, service string, port uint16) func(ctx context.Context, dir string, r *rig) (string, error) {
	return func(ctx context.Context, dir string, r *rig) (string, error) {
		_, figures, err := loadBoxes(ctx, dir, r, pods, service, port, []string{"--max-connection-age", "1s"},
			"--rate", fmt.Sprint(agingRate), "--duration", agingTime.String())
		return figures, err
	}
}

// comeAgain holds that a channel that the proxy asks to come again does so and loses no call, and that no stream is cut by it.
func comeAgain(ctx context.Context, dir string, r *rig) (string, error) {
	const pod = "127.0.0.1"
	var (
		stream sync.WaitGroup
		held   string
		cut    error
	)
	stream.Go(func() {
		if cut = waitFor(ctx, r, fmt.Sprintf("%s:%d", pod, agedGRPC)); cut == nil {
			held, cut = r.boxJSON(ctx, &struct{}{}, filepath.Join(dir, programName(grpcBox)), "hold", "--target", fmt.Sprintf("%s:%d", agedIP, agedGRPC),
				"--for", heldTime.String(), "--every", "100ms")
		}
	})
	got, figures, err := loadBoxes(ctx, dir, r, []string{pod}, agedIP, agedGRPC, nil, "--rate", fmt.Sprint(agingRate), "--duration", agingTime.String())
	stream.Wait()
	if err == nil && got.Connections < comings {
		err = fmt.Errorf("%d connections, at least %d", got.Connections, comings)
	}
	return figures + "; " + held, errors.Join(err, cut)
}

// loaded is what the box's load prints.
type loaded struct {
	Requests, Failed, Connections int
	Pods, Errors                  map[string]int
	Max                           float64 `json:"max_ms"`
}

// loadBoxes starts a server at each address and calls the Service. A call that fails is an error.
func loadBoxes(ctx context.Context, dir string, r *rig, pods []string, service string, port uint16, serverFlags []string, flags ...string) (got loaded, figures string, err error) {
	box := filepath.Join(dir, programName(grpcBox))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, pod := range pods {
		argv := append([]string{box, "serve", "--address", fmt.Sprintf("%s:%d", pod, port), "--pod", pod}, serverFlags...)
		cmd := r.Command(ctx, argv[0], argv[1:]...)
		if err := cmd.Start(); err != nil {
			return got, "", err
		}
		defer cmd.Wait()
		defer cancel()
	}
	for _, pod := range pods {
		if err := waitFor(ctx, r, fmt.Sprintf("%s:%d", pod, port)); err != nil {
			return got, "", err
		}
	}
	text, err := r.boxJSON(ctx, &got, box, append([]string{"load", "--target", fmt.Sprintf("%s:%d", service, port), "--concurrency", fmt.Sprint(spreadAtOnce)}, flags...)...)
	if err == nil && (got.Failed > 0 || got.Requests == 0) {
		err = fmt.Errorf("%d of %d calls failed: %v", got.Failed, got.Requests, got.Errors)
	}
	return got, text, err
}

// boxJSON runs the box and reads the line of JSON that it prints.
func (r *rig) boxJSON(ctx context.Context, into any, box string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := r.Command(ctx, box, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("box %s: %w: %s", args[0], err, lastLine(errs.String()))
	}
	text := lastLine(out.String())
	return text, json.Unmarshal([]byte(text), into)
}

// waitFor waits for a listener at exactly that address, by a connection that the proxy is not asked about: the proxy's user makes it.
func waitFor(ctx context.Context, r *rig, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		// A refused connect is an answer; what the shell has to say of it is not.
		if r.Command(ctx, "bash", "-c", fmt.Sprintf("exec 2>/dev/null; : >/dev/tcp/%s/%s", host, port)).As(proxyUID, proxyUID).Run() == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("waiting for %s: %w", addr, ctx.Err())
}

// even holds that three endpoints were asked about equally often, on one connection.
func even(pods map[string]int, connections int) error {
	counts := slices.Sorted(maps.Values(pods))
	switch {
	case len(counts) != len(severalPods):
		return fmt.Errorf("%d of %d endpoints were asked", len(counts), len(severalPods))
	case connections != 1:
		return fmt.Errorf("%d connections, want 1", connections)
	}
	if ratio := float64(counts[len(counts)-1]) / float64(counts[0]); ratio > uneven {
		return fmt.Errorf("the busiest endpoint was asked %.2f times as often as the idlest, at most %.1f", ratio, uneven)
	}
	return nil
}

// spreadHTTP calls three servers of net/http on one connection.
func spreadHTTP(ctx context.Context, _ string, r *rig) (string, error) {
	for _, pod := range severalPods {
		l, err := r.Listen("tcp", fmt.Sprintf("%s:%d", pod, severalHTTP))
		if err != nil {
			return "", err
		}
		s := h2cServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, pod) }))
		go s.Serve(l)
		defer s.Close()
	}
	t := h2cClient(r)
	defer t.CloseIdleConnections()
	var connections atomic.Int64
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		connections.Add(1)
		return dial(ctx, network, addr)
	}
	var (
		mu     sync.Mutex
		pods   = map[string]int{}
		failed error
		all    sync.WaitGroup
		next   atomic.Int64
	)
	one := func() {
		pod, err := fetch(ctx, t, fmt.Sprintf("http://%s:%d/", severalIP, severalHTTP))
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = err
			return
		}
		pods[pod]++
	}
	one() // alone, so that there is one connection
	for range spreadAtOnce {
		all.Go(func() {
			for next.Add(1) < spreadRequests {
				one()
			}
		})
	}
	all.Wait()
	figures := fmt.Sprintf("%v on %d connections", pods, connections.Load())
	if failed != nil {
		return figures, failed
	}
	return figures, even(pods, int(connections.Load()))
}

// h2cServer is net/http's with HTTP/2 alone, without TLS.
func h2cServer(h http.Handler) *http.Server {
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	return s
}

func fetch(ctx context.Context, t *http.Transport, url string) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	p, err := t.RoundTrip(q)
	if err != nil {
		return "", err
	}
	defer p.Body.Close()
	b, err := io.ReadAll(p.Body)
	if err == nil && p.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.100s", p.StatusCode, b)
	}
	return string(b), err
}
