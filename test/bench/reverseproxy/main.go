// Command reverseproxy is the benchmark's peer from Go's standard library: httputil.ReverseProxy and a Transport that
// keeps enough idle connections, or, with --tcp, io.Copy both ways (which splices on Linux). GOMAXPROCS bounds its threads.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:15301", "where connections arrive")
	to := flag.String("to", "", "addresses to balance over, with commas")
	h2c := flag.Bool("h2c", false, "speak HTTP/2 with prior knowledge on both sides")
	tcp := flag.Bool("tcp", false, "copy bytes instead of requests")
	flag.Parse()
	b := &backends{addrs: strings.Split(*to, ",")}
	l, err := net.Listen("tcp", *listen)
	if err == nil {
		if *tcp {
			err = copyBytes(l, b)
		} else {
			err = serve(l, proxy(b), *h2c)
		}
	}
	fmt.Fprintln(os.Stderr, "reverseproxy:", err)
	os.Exit(1)
}

// backends are taken in turn.
type backends struct {
	addrs []string
	n     atomic.Uint64
}

func (b *backends) next() string { return b.addrs[b.n.Add(1)%uint64(len(b.addrs))] }

func serve(l net.Listener, p *httputil.ReverseProxy, h2c bool) error {
	s := &http.Server{Handler: p}
	if h2c {
		s.Protocols = new(http.Protocols)
		s.Protocols.SetUnencryptedHTTP2(true)
		p.Transport.(*http.Transport).Protocols = s.Protocols
		p.FlushInterval = -1 // streams are not held back
	}
	return s.Serve(l)
}

func proxy(b *backends) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.URL.Host = b.next()
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			MaxIdleConns: 0, MaxIdleConnsPerHost: 4096, DisableCompression: true,
			WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
		},
		BufferPool: new(buffers),
		ErrorLog:   log.New(os.Stderr, "", 0),
	}
}

// buffers is a httputil.BufferPool of 32 KiB pieces, the size ReverseProxy itself would allocate for each body.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

func copyBytes(l net.Listener, b *backends) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			up, err := net.Dial("tcp", b.next())
			if err != nil {
				log.Print(err)
				return
			}
			defer up.Close()
			go func() {
				_, _ = io.Copy(up, c) // whichever side ends, the other direction shows it
				_ = up.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(c, up)
		}()
	}
}
