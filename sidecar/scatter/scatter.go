package scatter

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Request is what is sent.
type Request struct {
	Method string
	// Target is as it came: a path with its query, or *.
	Target    string
	Authority string
	Fields    []Field
	Body      []byte
	// HTTP2 sends it over HTTP/2, without TLS and without asking first, as the client did; else over HTTP/1.1.
	HTTP2 bool
}

// Field is one field line.
type Field struct{ Name, Value string }

// Endpoint is who is asked.
type Endpoint struct {
	Pod  string
	Addr netip.AddrPort
}

// Options bound the work; the zero value takes the defaults.
type Options struct {
	// Concurrency is how many endpoints are asked at a time.
	Concurrency int
	// Timeout bounds the whole, which began at Began, or begins with Run; ConnectTimeout bounds each connect.
	Timeout, ConnectTimeout time.Duration
	Began                   time.Time
	// MaxHead is the largest head of one answer that is read, in bytes. MaxBody is the largest body of one answer that is passed on, in
	// bytes; MaxListed is as much as is passed on of all heads and bodies together, in bytes of the list that JSON writes. MaxRead is the
	// largest body that is read at all, for its digest.
	MaxHead, MaxBody, MaxListed, MaxRead int64
}

// Defaults are what zeros in Options stand for.
func Defaults() Options {
	return Options{Concurrency: 16, Timeout: 10 * time.Second, ConnectTimeout: time.Second,
		MaxHead: 64 << 10, MaxBody: 64 << 10, MaxListed: 4 << 20, MaxRead: 16 << 20}
}

func (o Options) filled() Options {
	d := Defaults()
	fill(&o.Concurrency, d.Concurrency)
	fill(&o.Timeout, d.Timeout)
	fill(&o.ConnectTimeout, d.ConnectTimeout)
	fill(&o.MaxHead, d.MaxHead)
	fill(&o.MaxBody, d.MaxBody)
	fill(&o.MaxListed, d.MaxListed)
	fill(&o.MaxRead, d.MaxRead)
	return o
}

func fill[T int | int64 | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Run asks all endpoints and answers when all have answered, or time is up, or ctx has ended. It leaves nothing running.
func Run(ctx context.Context, service string, q Request, to []Endpoint, o Options) *Answer {
	o = o.filled()
	if o.Began.IsZero() {
		o.Began = time.Now()
	}
	ctx, cancel := context.WithDeadlineCause(ctx, o.Began.Add(o.Timeout), fmt.Errorf("no answer within %v", o.Timeout))
	defer cancel()
	p := &http.Protocols{}
	p.SetHTTP1(!q.HTTP2)
	p.SetUnencryptedHTTP2(q.HTTP2)
	r := &run{q: q, o: o, conns: &http.Transport{Protocols: p, DisableCompression: true, DisableKeepAlives: !q.HTTP2,
		MaxResponseHeaderBytes: o.MaxHead,
		DialContext:            (&net.Dialer{Timeout: o.ConnectTimeout}).DialContext}}
	a := &Answer{Service: service, Pods: make([]Pod, len(to))}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(o.Concurrency, len(to)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(to)); i = next.Add(1) - 1 {
				a.Pods[i] = r.ask(ctx, to[i])
			}
		})
	}
	all.Wait()
	a.overall()
	return a
}

// run is one request on its way to everybody.
type run struct {
	q      Request
	o      Options
	conns  *http.Transport // makes the connections, and sends nothing itself
	listed atomic.Int64    // bytes of heads and bodies that are passed on
}

// list reports whether n more bytes may be passed on.
func (r *run) list(n int64) bool {
	if r.listed.Add(n) > r.o.MaxListed {
		r.listed.Add(-n)
		return false
	}
	return true
}

// errorMost is how much is listed of an error, in bytes.
const errorMost = 500

var errTooLarge = errors.New("the answer is too large to be read")

// ask asks one endpoint.
func (r *run) ask(ctx context.Context, e Endpoint) (p Pod) {
	p = Pod{Pod: e.Pod, Endpoint: e.Addr.String()}
	began := time.Now()
	defer func() { p.Seconds = time.Since(began).Seconds() }()
	failed := func(err error) Pod {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		text := err.Error() // which may quote what the endpoint said
		if len(text) > errorMost {
			text = strings.ToValidUTF8(text[:errorMost], "") + "…"
		}
		return Pod{Pod: p.Pod, Endpoint: p.Endpoint, Error: text}
	}
	q := (&http.Request{Method: r.q.Method, URL: r.q.url(e.Addr), Host: r.q.Authority,
		Header: http.Header{"User-Agent": nil}, ContentLength: int64(len(r.q.Body))}).WithContext(ctx)
	if len(r.q.Body) > 0 {
		q.Body = io.NopCloser(bytes.NewReader(r.q.Body))
	}
	for _, f := range r.q.Fields {
		q.Header.Add(f.Name, f.Value)
	}
	// A Transport's own RoundTrip sends a request again over HTTP/2 that was refused, or whose connection goes away; that of one connection
	// does not.
	conn, err := r.conns.NewClientConn(ctx, "http", e.Addr.String())
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	res, err := conn.RoundTrip(q)
	if err != nil {
		return failed(err)
	}
	defer res.Body.Close()
	sum := sha256.New()
	var body bytes.Buffer
	n, err := io.Copy(io.MultiWriter(sum, &most{&body, r.o.MaxBody}), io.LimitReader(res.Body, r.o.MaxRead+1))
	switch {
	case err != nil:
		return failed(err)
	case n > r.o.MaxRead:
		return failed(errTooLarge)
	}
	if p.Status = res.StatusCode; r.list(size(res.Header)) {
		p.Headers = res.Header
	}
	p.put(body.Bytes(), n, sum.Sum(nil), n <= r.o.MaxBody && r.list(writtenBody(body.Bytes())))
	return p
}

// size answers how many bytes a head's fields take in JSON.
func size(h http.Header) (n int64) {
	for name, values := range h {
		for _, v := range values {
			n += written([]byte(name)) + written([]byte(v)) + int64(len(":[],"))
		}
	}
	return n
}

// url answers a URL that net/http sends as the target that came. One that begins with two slashes it would take for an authority and a path.
func (q *Request) url(to netip.AddrPort) *url.URL {
	u := &url.URL{Scheme: "http", Host: to.String(), Opaque: q.Target}
	if !strings.HasPrefix(q.Target, "//") {
		return u
	}
	u.Opaque = ""
	u.RawPath, u.RawQuery, u.ForceQuery = strings.Cut(q.Target, "?")
	if p, err := url.PathUnescape(u.RawPath); err == nil {
		u.Path = p
	}
	if u.RequestURI() != q.Target {
		// It has what URLs may not have, and net/url would escape it. "A server MUST accept the absolute-form" (RFC 9112, section 3.2.2);
		// over HTTP/2 net/http takes scheme and authority off again.
		*u = url.URL{Scheme: "http", Host: u.Host, Opaque: "//" + cmp.Or(q.Authority, u.Host) + q.Target}
	}
	return u
}

// most keeps the first bytes and takes all.
type most struct {
	b    *bytes.Buffer
	left int64
}

func (m *most) Write(p []byte) (int, error) {
	n := min(int64(len(p)), m.left)
	m.b.Write(p[:n])
	m.left -= n
	return len(p), nil
}
