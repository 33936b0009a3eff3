package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// conntrackScenarios: both kube-proxy's rules (on the node) and the init container's (in the client's pod) live of the kernel's table
// of connections. What becomes of clients when that forgets, is full, or does not believe a packet.
func conntrackScenarios() []scenario {
	two := shape{pods: 2}
	return []scenario{
		{name: "conntrack/node-forgets", title: "the node's table is emptied ten times, at 500/s", shape: two, quick: true, run: func(x *trial) error {
			err := x.whileForgetting(func() error { return x.forgetOften(forgets, x.net.Node) })
			x.none()
			return err
		}},
		{name: "conntrack/pod-forgets", title: "the client's pod's table and the node's are emptied ten times, at 500/s", shape: two, quick: true,
			run: podForgets},
		{name: "conntrack/idle", title: "the tables of pod and node are emptied while 40 connections are idle, then each is used", shape: two,
			quick: true, run: forgottenIdle},
		{name: "conntrack/half-closed", title: "the client has ended its half, and the answer comes when the pod's table has forgotten",
			shape: shape{pods: 1, opaque: true}, peers: followers, run: halfClosed},
		{name: "conntrack/node-full", title: "the node's table is full for some seconds, at 300/s", shape: two,
			run: func(x *trial) error { return x.full(x.net.Node) }},
		{name: "conntrack/pod-full", title: "the client's pod's table is full for some seconds, at 300/s", shape: two,
			run: func(x *trial) error { return x.full(x.client.Namespace) }},
		{name: "conntrack/ports", title: "a connection for each of 48,000 requests, to four Service ports at once", shape: shape{pods: 2, ports: 4},
			run: func(x *trial) error { return x.shortToAll(12000) }},
		{name: "conntrack/invalid", title: "packets that the table takes for invalid, on idle connections", shape: two, quick: true, run: invalid},
		{name: "conntrack/invalid-answer", title: "the same on the way back", shape: two, quick: true, run: invalidAnswer},
	}
}

const forgets = 10

// whileForgetting calls at 400/s on kept connections and at 100/s on new ones.
func (x *trial) whileForgetting(forget func() error) error {
	kept, err := x.load("--rate=400", "--concurrency=20", "--duration=4s", "--timeout=2s")
	if err != nil {
		return err
	}
	anew, err := x.load("--rate=100", "--concurrency=20", "--keep-alive=false", "--duration=4s", "--timeout=2s")
	return errors.Join(err, forget(), x.waitAll(kept, anew))
}

// podForgets: an answer that is on its way when the translation is lost goes to nobody, as it does without us when the node's is lost.
// The next request of the same connection brings the translation back.
func podForgets(x *trial) error {
	err := x.whileForgetting(func() error { return x.forgetOften(forgets, x.client.Namespace, x.net.Node) })
	// At 500/s and some milliseconds each, few are under way at a moment.
	const most = forgets * 5
	if x.Failed+x.Non2xx > most {
		x.broke("%d failed, at most %d are promised: those under way", x.Failed+x.Non2xx, most)
	}
	before := x.Failed + x.Non2xx
	err = errors.Join(err, x.loads([]string{"--rate=500", "--concurrency=20", "--duration=1s"}))
	if later := x.Failed + x.Non2xx - before; later > 0 {
		x.broke("%d failed afterwards", later)
	}
	return err
}

// kept is a connection of an HTTP client that keeps it.
type kept struct {
	net.Conn
	r *bufio.Reader
}

func (x *trial) keep() (kept, error) {
	c, err := x.client.Dial(x.ctx, "tcp", clusterIP.String())
	return kept{c, bufio.NewReader(c)}, err
}

// ask makes a request and reads its answer.
func (c kept) ask(path string, patience time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(patience)) // cannot fail on an open connection
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: shop\r\n\r\n", path); err != nil {
		return err
	}
	return c.answer()
}

func (c kept) answer() error {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// idleConnections asks once on each of several connections, lets something happen to each, and asks once more.
func (x *trial) idleConnections(happen func(all []kept) error) error {
	const conns = 40
	var all []kept
	for range conns {
		c, err := x.keep()
		if err != nil {
			return err
		}
		defer c.Close()
		all = append(all, c)
		if err := c.ask("/pod", 5*time.Second); err != nil {
			return fmt.Errorf("in peace: %w", err)
		}
	}
	if err := happen(all); err != nil {
		return err
	}
	why := map[string]bool{}
	for _, c := range all {
		x.Requests++
		if err := c.ask("/pod", 2*time.Second); err != nil {
			x.Failed++
			if e := new(net.OpError); errors.As(err, &e) {
				err = e.Err
			}
			why[err.Error()] = true
		}
	}
	for text := range why {
		x.seen = append(x.seen, text)
	}
	x.none()
	return nil
}

// forgottenIdle: the client's next packet is redirected anew, to the same proxy; without us it is balanced anew, to another pod.
func forgottenIdle(x *trial) error {
	return x.idleConnections(func([]kept) error { return x.forget(x.client.Namespace, x.net.Node) })
}

// halfClosed: the kernel forgets a half-closed connection after a minute of silence, where kube-proxy asks for an hour on its node.
// A pod has nobody who could ask; here the minute is made shorter than the silence.
func halfClosed(x *trial) error {
	const silence = 40 * time.Second
	err := x.client.Do(func() error {
		return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait", []byte("35"), 0)
	})
	if err != nil {
		return err
	}
	c, _, err := x.greeted()
	if err != nil {
		return err
	}
	defer c.Close()
	server := x.pods[0].server.Process
	conn := c.(*net.TCPConn)
	if err := errors.Join(server.Signal(syscall.SIGSTOP), conn.SetKeepAlive(false), conn.SetDeadline(time.Now().Add(silence+5*time.Second))); err != nil {
		return err // most programs ask for no probes; Go's do
	}
	x.Requests = 1
	if _, err := conn.Write([]byte("echo")); err != nil {
		return err
	}
	if err := errors.Join(conn.CloseWrite(), x.sleep(silence), x.sweep(), server.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "echo" {
		x.Failed = 1
		x.seen = append(x.seen, fmt.Sprintf("%q, %v", got, err))
	}
	x.none()
	return nil
}

// sweep has the kernel take out of the client's pod's table what has expired, which it does otherwise when it comes to that: a listing
// passes everything.
func (x *trial) sweep() error {
	return x.inPod(&pod{Pod: x.client}, "conntrack --dump")
}

// full fills a table while clients call. Kept connections go on; who connects has to wait for room, as the kernel sends its SYN again.
func (x *trial) full(ns *meshtest.Namespace) error {
	const longest = 15 * time.Second // the kernel sends a SYN again after 1, 2, 3, 4, 5 and 7 s, older ones after 1, 3, 7 s
	d := "--duration=" + x.long(14*time.Second, 12*time.Second).String()
	kept, err := x.load("--rate=200", "--concurrency=20", d, "--timeout="+longest.String())
	if err != nil {
		return err
	}
	anew, err := x.load("--rate=100", "--concurrency=200", "--keep-alive=false", d, "--timeout="+longest.String())
	if err != nil {
		return err
	}
	began := time.Now()
	err = errors.Join(x.fillTable(ns), x.sleep(2*time.Second), x.drainTable(ns))
	took := time.Since(began)
	err = errors.Join(err, x.waitAll(kept, anew))
	x.none()
	x.Note = fmt.Sprintf("%.1f s from the first entry to room again", took.Seconds())
	c, e := x.keep()
	if e == nil {
		e = c.ask("/pod", 5*time.Second)
		c.Close()
	}
	if e != nil {
		x.broke("afterwards: %v", e)
	}
	return err
}

// shortToAll makes n connections to each port of the Service, all at once. Behind REDIRECT they lead to one address, so that they need a
// source port each, and each keeps its port for the two minutes that the kernel remembers it.
func (x *trial) shortToAll(n int) error {
	var all sync.WaitGroup
	results, errs := make([]result, x.shape.ports), make([]error, x.shape.ports)
	for i := range x.shape.ports {
		all.Go(func() {
			file := filepath.Join(x.dir, fmt.Sprintf("ab-%d.tsv", i))
			to := netip.AddrPortFrom(clusterIP.Addr(), clusterIP.Port()+uint16(i))
			out := x.runClient(x.ctx, "ab", "-q", "-l", "-r", "-s", "10", "-c", "10", "-n", strconv.Itoa(n), "-g", file, "http://"+to.String()+"/pod")
			results[i], errs[i] = parseAb(out, read(file), n)
		})
	}
	all.Wait()
	x.Slow = 0
	for _, r := range results {
		x.Requests, x.Failed, x.Non2xx = x.Requests+r.Requests, x.Failed+r.Failed, x.Non2xx+r.Non2xx
		x.P99, x.Longest, x.Slow = max(x.P99, r.P99), max(x.Longest, r.Longest), x.Slow+r.Slow
		if r.Note != "" {
			x.broke("%s", r.Note)
		}
	}
	x.none()
	return errors.Join(errs...)
}

// invalid sends, for each connection, an acknowledgement that is far beyond the window. The kernel does not translate what it takes for
// invalid: such a packet would leave the pod for the Service's address and come back as a reset.
func invalid(x *trial) error {
	return x.injected(func(client netip.AddrPort, sent, got uint32) error {
		return meshtest.Inject(client, clusterIP, sent+farBeyond, got)
	})
}

// invalidAnswer does so on the way back: untranslated it comes to the application's pod from an address it has no connection to, and
// the kernel's reset meets the proxy.
func invalidAnswer(x *trial) error {
	return x.injected(func(client netip.AddrPort, sent, got uint32) error {
		return meshtest.Inject(listenAt, client, got+farBeyond, sent)
	})
}

// farBeyond is more than any window that a client here has.
const farBeyond = 1 << 30

// injected sends a packet for each of several idle connections, from the client's pod. It is told the client's address and which bytes the
// client sends and gets next.
func (x *trial) injected(send func(client netip.AddrPort, sent, got uint32) error) error {
	return x.idleConnections(func(all []kept) error {
		for _, c := range all {
			sent, got, err := meshtest.Sequence(c.Conn.(*net.TCPConn))
			if err != nil {
				return err
			}
			client := c.LocalAddr().(*net.TCPAddr).AddrPort()
			client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
			if err := x.client.Do(func() error { return send(client, sent, got) }); err != nil {
				return err
			}
		}
		return x.sleep(200 * time.Millisecond) // for what may come back
	})
}
