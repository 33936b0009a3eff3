package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/h1"
)

const (
	vectorAddr  = "127.0.0.1:8081"
	vectorLimit = 2 * time.Second // for the answers to one vector, which come at once
)

// vectorSuite sends requests of other projects' suites for HTTP/1.x parsers through the proxy, to an origin that records each request
// it reads. It must read those that the client framed, and no other.
func vectorSuite(name, file string, differences ...difference) *suite {
	s := &suite{name: "vectors: " + name, source: "sidecar/h1/testdata/" + file, quick: true,
		columns: []string{throughUs, asAService}, differences: differences}
	run := func(ctx context.Context, r *rig, only string) (results, error) {
		root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluice-mesh/sluice"))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(root), "sidecar/h1/testdata", file))
		if err != nil {
			return nil, err
		}
		var vectors []struct{ ID, Payload string }
		if err := json.Unmarshal(text, &vectors); err != nil {
			return nil, err
		}
		l, err := r.Listen("tcp", vectorAddr)
		if err != nil {
			return nil, err
		}
		o := &recorder{}
		go o.serve(l)
		defer o.stop(l)
		rs := results{}
		for _, v := range vectors {
			if only != "" && v.ID != only {
				continue
			}
			if rs[v.ID], err = o.try(ctx, r, wire(v.Payload)); err != nil {
				return nil, fmt.Errorf("%s: %w", v.ID, err)
			}
		}
		return rs, nil
	}
	s.run = func(ctx context.Context, _ string, r *rig) (results, error) { return run(ctx, r, "") }
	s.again = func(ctx context.Context, _ string, r *rig, name string) (verdict, error) {
		rs, err := run(ctx, r, name)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

// wire answers a payload as it goes over the wire: code points below 256 stand for bytes, unless greater ones show that the text is
// meant as UTF-8.
func wire(payload string) (b []byte) {
	for _, c := range payload {
		if c > 0xff {
			return []byte(payload)
		}
		b = append(b, byte(c))
	}
	return b
}

// recorder is an origin that reads requests as net/http does, which takes more than the proxy does: it would read what slipped through.
type recorder struct {
	mu    sync.Mutex
	read  []string
	conns []net.Conn
}

// stop closes the connections as well: the proxy keeps some, and the next recorder has the same address.
func (o *recorder) stop(l net.Listener) {
	l.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.conns {
		c.Close()
	}
}

func (o *recorder) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.conns = append(o.conns, c)
		o.mu.Unlock()
		go func() {
			defer c.Close()
			b := bufio.NewReader(c)
			for {
				q, err := http.ReadRequest(b)
				if err != nil {
					return
				}
				body, err := io.ReadAll(q.Body)
				if err != nil {
					return // a request that was cut off within its body is none
				}
				o.mu.Lock()
				o.read = append(o.read, summary(q.Method, q.RequestURI, len(body)))
				o.mu.Unlock()
				if q.Header.Get("Upgrade") != "" || q.Method == http.MethodConnect {
					io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
					c.(*net.TCPConn).CloseWrite()
					io.Copy(io.Discard, b) // closed with bytes unread, the connection would be reset before the answer is read
					return
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}()
	}
}

func (o *recorder) take() (read []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	read, o.read = o.read, nil
	return read
}

// try sends one payload and compares what the origin read with what the client framed.
func (o *recorder) try(ctx context.Context, r *rig, payload []byte) (verdict, error) {
	began := time.Now()
	payload, framed, refused := frame(payload)
	c, err := r.Dial(ctx, "tcp", vectorAddr)
	if err != nil {
		return verdict{}, err
	}
	defer c.Close()
	c.SetDeadline(began.Add(vectorLimit))
	go func() {
		c.Write(payload) // it may be refused before it is sent
		c.(*net.TCPConn).CloseWrite()
	}()
	answer, err := io.ReadAll(c)
	v := verdict{took: time.Since(began)}
	read := o.take()
	switch ahead := min(len(read), len(framed)); {
	case err != nil && len(answer) == 0 && len(framed) > 0:
		v.detail = fmt.Sprintf("no answer: %v", err)
	case len(read) > len(framed):
		v.detail = fmt.Sprintf("the origin read %q, the client framed %q", read, framed)
	case strings.Join(read, "\n") != strings.Join(framed[:ahead], "\n"):
		v.detail = fmt.Sprintf("the origin read %q, the client framed %q", read, framed)
	case !refused && len(read) < len(framed):
		v.detail = fmt.Sprintf("the origin read %q of %q", read, framed)
	case refused && len(framed) == 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 5")):
		// What is not recognised as HTTP/1.x at all is the origin's to refuse: it ends the connection without a word.
		v.ok = len(answer) == 0
		v.detail = fmt.Sprintf("refused, yet answered %.60q", answer)
	default:
		v.ok = true
	}
	return v, nil
}

func summary(method, target string, body int) string {
	return fmt.Sprintf("%s %s, %d bytes of body", method, target, body)
}

// frame answers the requests a client framed in b, up to the first one that has to be refused. The vectors are about other things
// than Host and most leave it out: it is added. A head that was cut off is ended.
func frame(b []byte) (sent []byte, framed []string, refused bool) {
	var q h1.Request
	for rest := b; len(bytes.TrimLeft(rest, "\r\n")) > 0; {
		done := len(b) - len(rest)
		n, err := q.Parse(rest, 0)
		if reason, bad := h1.ReasonOf(err); bad && reason == h1.MissingHost {
			line := len(rest) - len(bytes.TrimLeft(rest, "\r\n"))
			line += bytes.IndexByte(rest[line:], '\n') + 1
			b = append(append(bytes.Clone(b[:done+line]), "Host: a\r\n"...), rest[line:]...)
			rest = b[done:]
			continue
		} else if bad {
			return b, framed, true
		}
		if n == 0 {
			b = append(bytes.Clone(b), "\r\n\r\n"...)
			rest = b[done:]
			continue
		}
		one := summary(string(q.Method), string(q.Target), 0)
		rest = rest[n:]
		switch q.Body {
		case h1.Length:
			if int64(len(rest)) < q.Length {
				return b, framed, false
			}
			one = summary(string(q.Method), string(q.Target), int(q.Length))
			rest = rest[q.Length:]
		case h1.Chunked:
			var c h1.Chunks
			n, whole, err := c.Scan(rest)
			if err != nil {
				return b, framed, true
			}
			if !whole {
				return b, framed, false
			}
			body, _ := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(rest[:n])))
			one = summary(string(q.Method), string(q.Target), len(body))
			rest = rest[n:]
		}
		framed = append(framed, one)
		if q.Upgrade != nil || string(q.Method) == "CONNECT" || !q.Persistent {
			return b, framed, true // what follows is not HTTP, or not looked at
		}
	}
	return b, framed, false
}
