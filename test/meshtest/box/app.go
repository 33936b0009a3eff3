package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// app answers HTTP requests. Every answer carries X-Pod.
//
//	/              a JSON description of the request (any path not below)
//	/pod           the pod's name
//	/healthz       200
//	/readyz        200 or 503; ?set=true and ?set=false change it
//	/status/CODE   that status
//	/delay?d=500ms answers after that time
//	/bytes?n=1000  so many bytes, with Content-Length
//	/sse?n=3&every=100ms   server-sent events; n=0 never ends
//	/drip?n=3&every=100ms  single bytes, chunked
//	/echo          the body, while it comes, and its length as trailer X-Body-Bytes
//	/ws            a WebSocket echo
type app struct {
	pod, node  string
	certSHA256 string
	ready      atomic.Bool
	fault      *fault
	effects    effects
	mux        *http.ServeMux
}

func newApp(pod, node string) *app {
	a := &app{pod: pod, node: node, fault: newFault(), mux: http.NewServeMux()}
	a.ready.Store(true)
	a.mux.HandleFunc("/", a.describe)
	a.mux.HandleFunc("/pod", func(w http.ResponseWriter, _ *http.Request) { text(w, a.pod) })
	a.mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, "ok") })
	a.mux.HandleFunc("/readyz", a.readyz)
	a.mux.HandleFunc("/status/{code}", status)
	a.mux.HandleFunc("/delay", a.delay)
	a.mux.HandleFunc("/bytes", sendBytes)
	a.mux.HandleFunc("/sse", sse)
	a.mux.HandleFunc("/drip", drip)
	a.mux.HandleFunc("/echo", echo)
	a.mux.HandleFunc("/ws", wsEcho)
	return a
}

func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Pod", a.pod)
	a.mux.ServeHTTP(w, r)
}

// faulty is the app as its clients see it.
func (a *app) faulty() http.Handler { return a.effects.handler(a.fault.handler(a)) }

// control is the app without faults, the switch for them, and what was done: /effects.
func (a *app) control() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a)
	mux.Handle("/fault", a.fault)
	mux.Handle("/effects", &a.effects)
	return mux
}

// description is the answer of "/".
type description struct {
	Pod       string              `json:"pod"`
	Node      string              `json:"node"`
	Addr      string              `json:"addr"`
	Remote    string              `json:"remote"`
	Method    string              `json:"method"`
	Path      string              `json:"path"`
	Query     string              `json:"query"`
	Host      string              `json:"host"`
	Proto     string              `json:"proto"`
	Headers   map[string][]string `json:"headers"`
	BodyBytes int64               `json:"bodyBytes"`
	TLS       *tlsDescription     `json:"tls,omitempty"`
}

type tlsDescription struct {
	ServerName string `json:"serverName"` // SNI, empty when the client sent none
	Version    string `json:"version"`
	ALPN       string `json:"alpn"`
	CertSHA256 string `json:"certSHA256"` // of the certificate we present
}

func (a *app) describe(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d := description{Pod: a.pod, Node: a.node, Remote: r.RemoteAddr, Method: r.Method, Path: r.URL.Path,
		Query: r.URL.RawQuery, Host: r.Host, Proto: r.Proto, Headers: r.Header, BodyBytes: n}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		d.Addr = addr.String()
	}
	if r.TLS != nil {
		d.TLS = describeTLS(r.TLS, a.certSHA256)
	}
	w.Header().Set("Content-Type", "application/json")
	printJSON(w, d) // a client that has gone is its own affair
}

func (a *app) readyz(w http.ResponseWriter, r *http.Request) {
	if v := r.URL.Query().Get("set"); v != "" {
		ready, err := strconv.ParseBool(v)
		if err != nil {
			http.Error(w, fmt.Sprintf("set=%s: want true or false", v), http.StatusBadRequest)
			return
		}
		a.ready.Store(ready)
	} else if !a.ready.Load() {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	text(w, fmt.Sprint("ready: ", a.ready.Load()))
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 999 {
		http.Error(w, fmt.Sprintf("status %q: want 200 to 999", r.PathValue("code")), http.StatusBadRequest)
		return
	}
	w.WriteHeader(code)
	if code != http.StatusNoContent && code != http.StatusNotModified {
		fmt.Fprintln(w, http.StatusText(code))
	}
}

func (a *app) delay(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("d"))
	if err != nil {
		http.Error(w, "d: "+err.Error(), http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(d):
		text(w, a.pod)
	case <-r.Context().Done():
	}
}

// pattern is what /bytes repeats: a client can tell a hole from a lost end.
var pattern = strings.Repeat("0123456789abcdef", 2048)

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, fmt.Sprintf("n=%q: want a number of bytes", r.URL.Query().Get("n")), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		part := pattern[:min(n, int64(len(pattern)))]
		if _, err := io.WriteString(w, part); err != nil {
			return
		}
		n -= int64(len(part))
	}
}

func sse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	slowly(w, r, func(i int) string { return fmt.Sprintf("id: %d\ndata: event %d\n\n", i, i) })
}

func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	slowly(w, r, func(i int) string { return pattern[i%16 : i%16+1] })
}

// slowly writes n parts, one every so often, each flushed; n=0 never ends.
func slowly(w http.ResponseWriter, r *http.Request, part func(int) string) {
	n, every := 10, 100*time.Millisecond
	var errN, errEvery error
	if v := r.URL.Query().Get("n"); v != "" {
		n, errN = strconv.Atoi(v)
	}
	if v := r.URL.Query().Get("every"); v != "" {
		every, errEvery = time.ParseDuration(v)
	}
	if err := errors.Join(errN, errEvery); err != nil || every <= 0 {
		http.Error(w, fmt.Sprintf("n (0 is endless) and every (above 0): %v", err), http.StatusBadRequest)
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; n == 0 || i < n; i++ {
		if _, err := io.WriteString(w, part(i)); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	if r.ProtoMajor == 1 {
		// HTTP/1 servers of the standard library read the body first otherwise.
		if err := c.EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Trailer", "X-Body-Bytes")
	w.Header().Set("Content-Type", "application/octet-stream")
	var total int64
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		total += int64(n)
		if _, werr := w.Write(buf[:n]); werr != nil || c.Flush() != nil {
			return
		}
		if err == io.EOF {
			w.Header().Set("X-Body-Bytes", strconv.FormatInt(total, 10))
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler) // the client sees that the answer is cut off
		}
	}
}

func text(w http.ResponseWriter, s string) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(s)))
	io.WriteString(w, s) // a client that has gone is its own affair
}
