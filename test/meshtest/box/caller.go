package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// callSettings say what one call looks like.
type callSettings struct {
	url, method, body, expect string
	bodyBytes                 int
	headers                   headerFlag
	keepAlive, h2c            bool
	timeout                   time.Duration
	effects                   *atomic.Int64 // numbers of the requests, each the name of an effect; nil: they have none
	keys                      *keys
}

// A caller makes one call after the other.
type caller interface {
	call() outcome
	close()
}

func newCaller(s callSettings, r *record) (caller, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || u.Scheme != "http" && (u.Scheme != "https" || s.h2c) {
		return nil, fmt.Errorf("--url=%s: want http://HOST:PORT/PATH, or https:// without --h2c", s.url)
	}
	if _, err := s.request(context.Background()); err != nil {
		return nil, err
	}
	if s.h2c {
		return newH2Caller(s, r), nil
	}
	return &h1Caller{s: s, url: u, record: r}, nil
}

func (s callSettings) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if s.body != "" {
		body = strings.NewReader(s.body)
	}
	req, err := http.NewRequestWithContext(ctx, s.method, s.url, body)
	if err != nil {
		return nil, err
	}
	req.Close = !s.keepAlive
	if s.effects != nil {
		req.Header.Set(effectHeader, strconv.FormatInt(s.effects.Add(1), 10))
	}
	if s.keys != nil {
		req.Header.Set(s.keys.header, s.keys.next())
	}
	s.headers.each(func(name, value string) {
		if strings.EqualFold(name, "Host") {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	})
	return req, nil
}

// judge reads the answer to its end.
func (s callSettings) judge(resp *http.Response) outcome {
	o := outcome{status: resp.StatusCode, pod: resp.Header.Get("X-Pod")}
	if resp.Request != nil {
		o.effect = resp.Request.Header.Get(effectHeader)
		if s.keys != nil {
			o.key = resp.Request.Header.Get(s.keys.header)
		}
	}
	found := s.expect == ""
	if found {
		_, o.err = io.Copy(io.Discard, resp.Body)
	} else {
		var body []byte
		body, o.err = io.ReadAll(resp.Body)
		found = strings.Contains(string(body), s.expect)
	}
	switch {
	case o.err != nil:
		o.err = plain("answer cut off", o.err)
	case resp.StatusCode >= 400:
		o.err = fmt.Errorf("status %d", resp.StatusCode)
	case !found:
		o.err = fmt.Errorf("answer without %q", s.expect)
	}
	return o
}

// h1Caller speaks HTTP/1.1 on one connection. It is not an [http.Transport],
// which would hide failures: that sends a request again when a kept connection
// turns out to be dead.
type h1Caller struct {
	s      callSettings
	url    *url.URL
	record *record

	conn   net.Conn // nil when there is none
	reader *bufio.Reader
	used   bool // whether the connection has carried a request
}

func (c *h1Caller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *h1Caller) call() outcome {
	ctx, cancel := context.WithTimeout(context.Background(), c.s.timeout)
	defer cancel()
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return outcome{err: plain("connect", err)}
		}
	}
	end, _ := ctx.Deadline()
	c.conn.SetDeadline(end) // a connection that is gone fails at the write
	req, err := c.s.request(ctx)
	if err != nil {
		return outcome{err: err}
	}
	where := "first request of a connection"
	if c.used {
		where = "kept connection"
	}
	c.used = true
	if err := req.Write(c.conn); err != nil {
		c.close()
		return outcome{err: plain(where+": send", err)}
	}
	resp, err := http.ReadResponse(c.reader, req)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(c.reader, req)
	}
	if err != nil {
		c.close()
		return outcome{err: plain(where+": no answer", err)}
	}
	o := c.s.judge(resp)
	resp.Body.Close()
	if resp.Close || !c.s.keepAlive || o.err != nil && o.status < 400 {
		c.close()
	}
	return o
}

func (c *h1Caller) dial(ctx context.Context) error {
	c.record.connected()
	var err error
	addr := c.url.Host
	if c.url.Scheme == "https" {
		if c.url.Port() == "" {
			addr = net.JoinHostPort(c.url.Hostname(), "443")
		}
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
		c.conn, err = d.DialContext(ctx, "tcp", addr)
	} else {
		c.conn, err = new(net.Dialer).DialContext(ctx, "tcp", hostPort(c.url))
	}
	if err != nil {
		c.conn = nil
		return err
	}
	c.reader, c.used = bufio.NewReader(c.conn), false
	return nil
}

// h2Caller speaks h2c with prior knowledge on one connection at a time. Here
// the standard library does the work, and sends again what a GOAWAY or
// REFUSED_STREAM says was not processed. Calls may be made at the same time; the
// first one is made alone, so that the others find its connection.
type h2Caller struct {
	s         callSettings
	transport *http.Transport
	first     sync.Once
}

func newH2Caller(s callSettings, r *record) *h2Caller {
	t := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	t.Protocols.SetUnencryptedHTTP2(true)
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		r.connected()
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return &h2Caller{s: s, transport: t}
}

func (c *h2Caller) close() { c.transport.CloseIdleConnections() }

func (c *h2Caller) call() (o outcome) {
	alone := false
	c.first.Do(func() { alone, o = true, c.stream() })
	if alone {
		return o
	}
	return c.stream()
}

func (c *h2Caller) stream() outcome {
	ctx, cancel := context.WithTimeout(context.Background(), c.s.timeout)
	defer cancel()
	req, err := c.s.request(ctx)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return outcome{err: plain("no answer", err)}
	}
	defer resp.Body.Close()
	return c.s.judge(resp)
}

// plain gives an error a text without addresses and ports, so that equal
// failures are counted together.
func plain(what string, err error) error {
	var dns *net.DNSError
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New(what + ": timeout")
	case errors.As(err, &dns):
		return errors.New(what + ": " + dns.Name + ": " + dns.Err)
	case errors.As(err, &errno):
		return errors.New(what + ": " + errno.Error())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New(what + ": closed")
	}
	return fmt.Errorf("%s: %w", what, err)
}
