package nettest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
)

// A node dies: its pods' kernels answer nothing any more, and send nothing. Whoever waits on a connection to it learns of it, in whatever
// state the connection is, and long before the kernel gives up: that takes it 100 s where nothing was sent, and a quarter of an hour
// where bytes are under way.
func TestWhoWaitsForADeadNodeLearnsOfIt(t *testing.T) {
	m := newMesh(t, 1)
	vip := netip.MustParseAddr("10.96.0.20")
	m.service("slow", []netip.Addr{vip}, []manifest.Port{{Name: "http", Port: 80, Target: 8090}, {Name: "http2", Port: 81, Target: 8090}}, m.servers[0])
	m.addSluice()
	ln, err := m.servers[0].Listen("tcp", ":8090")
	if err != nil {
		t.Fatal(err)
	}
	arrived, over := make(chan string, 100), make(chan bool)
	srv := &http.Server{Protocols: &http.Protocols{}, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/idle":
			return
		case "/answer":
			io.WriteString(w, "the beginning")
			w.(http.Flusher).Flush()
		case "/body":
			q.Body.Read(make([]byte, 1))
			go io.Copy(io.Discard, q.Body)
		}
		arrived <- q.URL.Path
		<-over
	})}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	t.Cleanup(func() { close(over) })

	var all sync.WaitGroup
	waiting := 0
	dead := make(chan bool)
	var began time.Time
	state := func(http2 bool, path string) {
		tr := &http.Transport{Protocols: &http.Protocols{}, DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return m.client.Dial(ctx, "tcp", addr)
		}}
		port := 80
		if tr.Protocols.SetHTTP1(!http2); http2 {
			port = 81
			tr.Protocols.SetUnencryptedHTTP2(true)
		}
		t.Cleanup(tr.CloseIdleConnections)
		c := &http.Client{Transport: tr, Timeout: 80 * time.Second}
		url := fmt.Sprintf("http://%v:%d", vip, port)
		post := func(path string, body io.Reader) error {
			res, err := c.Post(url+path, "", body)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				return err
			}
			return fmt.Errorf("status %d", res.StatusCode)
		}
		if path == "/idle" {
			if err := post(path, nil); err.Error() != "status 200" {
				t.Fatal(err)
			}
		}
		var body io.Reader = strings.NewReader("x")
		if path == "/body" {
			r, w := io.Pipe()
			body = r
			go func() {
				for {
					if _, err := w.Write(make([]byte, 1000)); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond) // a slow upload
				}
			}()
		}
		if path != "/idle" {
			waiting++
		}
		all.Go(func() {
			if path == "/idle" {
				<-dead
			}
			err := post(path, body)
			<-dead
			took := time.Since(began)
			t.Logf("HTTP/2 %-5v %-8s %5.1f s: %v", http2, path, took.Seconds(), err)
			if strings.Contains(err.Error(), "Client.Timeout") {
				t.Errorf("HTTP/2 %v, %s: it waits after %v", http2, path, took)
			}
		})
	}
	for _, http2 := range []bool{false, true} {
		for _, path := range []string{"/wait", "/answer", "/body"} {
			state(http2, path)
		}
	}
	for range waiting {
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatal("a request does not arrive")
		}
	}
	state(true, "/idle")
	state(false, "/idle") // last, as its connection is kept for three seconds
	began = time.Now()
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		m.run(m.servers[0].Pod, "iptables", "-I", chain, "-j", "DROP")
	}
	close(dead)
	all.Wait()
}
