package nettest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

// Services beside the shop, all over the first server.
var (
	plainIP    = netip.MustParseAddr("10.96.0.20") // ports of the test's own servers
	emptyIP    = netip.MustParseAddr("10.96.0.30") // a Service without endpoints
	unknownIP  = netip.MustParseAddr("10.96.0.99") // kube-proxy knows it, discovery does not
	plainPorts = []manifest.Port{
		{Name: "whoami", Port: 9100, Target: 9100}, {Name: "reset", Port: 9101, Target: 9101},
		{Name: "report", Port: 9102, Target: 9102}, {Name: "dns-tcp", Port: 53, Target: 9100},
		{Name: "close", Port: 9103, Target: 9103},
	}
)

// What an application can see of the network is written down without Sluice and then with it; it must be the same, but
// for what is said to differ.
func TestWhatAnApplicationSeesStaysTheSame(t *testing.T) {
	m := newMesh(t, 2)
	s := m.servers[0]
	direct, direct6 := s.Addrs[0].String(), s.Addrs[1].String()
	reports := serveOddly(t, s)
	m.service("plain", []netip.Addr{plainIP}, plainPorts, s)
	m.service("empty", []netip.Addr{emptyIP}, shopPorts)
	m.kubeProxy([]netip.Addr{unknownIP}, append(shopPorts, plainPorts[0]), s)
	// kube-proxy's rule for the UDP port of a Service.
	out, err := m.net.Node.Command(t.Context(), "iptables", "-w", "-t", "nat", "-A", "PREROUTING", "-p", "udp",
		"-d", plainIP.String(), "--dport", "53", "-j", "DNAT", "--to-destination", direct+":9100").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	observations := []struct {
		what   string
		see    func() string
		with   string // the end of what is seen with Sluice, when that is meant to differ
		passes bool   // the proxy must not see it
	}{
		{what: "UDP to a Service, as DNS does it", passes: true,
			see: func() string { return m.askUDP("10.96.0.20:53") }},
		{what: "TCP to a pod's address", passes: true,
			see: func() string { return m.ask(direct+":9100", "") }},
		{what: "TCP to a pod's address, IPv6", passes: true,
			see: func() string { return m.ask("["+direct6+"]:9100", "") }},
		{what: "TCP port 53 of a Service", passes: true,
			see: func() string { return m.ask("10.96.0.20:53", "") }},
		{what: "a closed port of a pod", passes: true,
			see: func() string { return m.ask(direct+":9199", "") }},
		{what: "a closed port of the calling pod itself", passes: true,
			see: func() string { return m.ask("10.77.0.2:1", "") }},
		{what: "the client's address as servers of a Service see it",
			see: func() string { return address(m.ask("10.96.0.20:9100", "")) }},
		{what: "an address that only kube-proxy knows",
			see: func() string { return address(m.ask("10.96.0.99:9100", "")) }},
		{what: "HTTP at an address that only kube-proxy knows",
			see: func() string { return m.status("http://10.96.0.99/pod") }},
		{what: "a server that resets",
			see: func() string { return m.ask("10.96.0.20:9101", "\x01hello") }},
		{what: "a server that closes after the client's first bytes",
			see: func() string { return m.ask("10.96.0.20:9103", "\x01hello") }},
		{what: "a client that resets, as the server sees it",
			see: func() string { return m.reset("10.96.0.20:9102", reports) }},
		{what: "a client that closes, as the server sees it",
			see: func() string { return m.hangUp("10.96.0.20:9102", reports) }},
		{what: "bytes both ways and half-close",
			see: func() string { return m.echo("10.96.0.10:7", 4<<20) }},
		{what: "a server that speaks first",
			see: func() string { return m.echo("10.96.0.10:25", 1000, "--banner") }},
		{what: "a server that speaks first, IPv6",
			see: func() string { return m.echo("[fd96::10]:25", 1000, "--banner") }},
		{what: "a TLS server's certificate, and the SNI it is sent",
			see: func() string { return m.certificate("10.96.0.10:443") }},
		{what: "WebSocket messages", see: m.webSocket},
		{what: "HTTP over IPv6",
			see: func() string { return m.status("http://[fd96::10]/pod") }},
		// The proxy has accepted the connection when it learns that there is nobody to take it; then it ends it as the
		// node does.
		{what: "a Service without endpoints", with: "connection reset by peer",
			see: func() string { return m.ask("10.96.0.30:7", "") }},
		{what: "HTTP to a Service without endpoints", with: "connection reset by peer",
			see: func() string { return m.status("http://10.96.0.30/pod") }},
	}
	seen := make([]string, len(observations))
	for i, o := range observations {
		seen[i] = o.see()
	}
	m.addSluice()
	for i, o := range observations {
		t.Run(o.what, func(t *testing.T) {
			before := m.metric("sluice_downstream_connections_total")
			began := time.Now()
			got, want := o.see(), seen[i]
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if o.with != "" && strings.HasSuffix(got, o.with) {
				want = got
			}
			if got != want {
				t.Errorf("with Sluice:    %s\nwithout Sluice: %s\nmay be with it: %s", got, want, o.with)
			}
			proxied := m.metric("sluice_downstream_connections_total") > before
			if proxied == o.passes {
				t.Errorf("the proxy saw it: %v", proxied)
			}
		})
	}
}

// serveOddly runs servers with one trait each, in a pod: 9100 says where it sees the client (UDP 9100 too), 9101 resets
// after the first bytes, 9103 closes then, and 9102 sends how its connection ended to the channel.
func serveOddly(t *testing.T, s *server) <-chan string {
	t.Helper()
	reports := make(chan string, 10) // more than are asked for
	serveTCP(t, s.Pod, 9100, func(c *net.TCPConn) { fmt.Fprint(c, c.RemoteAddr()) })
	serveTCP(t, s.Pod, 9101, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 1)) // the client sends first; what comes does not matter
		_ = c.SetLinger(0)             // fails only when the connection is gone
	})
	serveTCP(t, s.Pod, 9103, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 100)) })
	serveTCP(t, s.Pod, 9102, func(c *net.TCPConn) {
		fmt.Fprint(c, "!")
		_, err := io.Copy(io.Discard, c)
		reports <- plain("closed", err)
	})
	var u net.PacketConn
	err := s.Do(func() (err error) { u, err = net.ListenPacket("udp", ":9100"); return err })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(append([]byte(from.String()+" "), b[:n]...), from) // lost like any datagram
		}
	}()
	t.Cleanup(func() { u.Close(); <-done })
	return reports
}

// serveTCP gives each connection to f and closes it.
func serveTCP(t *testing.T, p *meshtest.Pod, port int, f func(*net.TCPConn)) {
	t.Helper()
	l, err := p.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience)) // fails only when the connection is gone
				f(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
}

// plain answers what an application's programmer would see: the call that failed and the system's word for it.
func plain(success string, err error) string {
	if err == nil {
		return success
	}
	call := "request"
	if op := new(net.OpError); errors.As(err, &op) {
		call = op.Op
	}
	if number := syscall.Errno(0); errors.As(err, &number) {
		return call + ": " + number.Error()
	}
	if errors.Is(err, io.EOF) {
		return call + ": end of file"
	}
	return call + ": " + err.Error()
}

func (m *mesh) dial(network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	c, err := m.client.Dial(ctx, network, addr)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// ask sends a text, reads to the end, and says whether the answer names the connection's own address.
func (m *mesh) ask(addr, text string) string {
	c, err := m.dial("tcp", addr)
	if err != nil {
		return plain("", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return plain("", err)
	}
	b, err := io.ReadAll(c)
	return plain(own(string(b), c), err)
}

// own writes "client:port" for the connection's own address, which is never the same twice.
func own(text string, c net.Conn) string {
	return strings.ReplaceAll(text, c.LocalAddr().String(), "client:port")
}

// address leaves the port out: behind a proxy it is another one.
func address(answer string) string {
	host, _, err := net.SplitHostPort(strings.Replace(answer, "client:port", "10.77.0.2:1", 1))
	if err != nil {
		return answer
	}
	return host
}

func (m *mesh) askUDP(addr string) string {
	c, err := m.dial("udp", addr)
	if err != nil {
		return plain("", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "question"); err != nil {
		return plain("", err)
	}
	b := make([]byte, 1500)
	n, err := c.Read(b)
	return plain(own(string(b[:n]), c), err)
}

func (m *mesh) status(url string) string {
	_, _, err := m.get(url)
	return plain("200", err)
}

// reset connects, waits for the server's byte, and resets; it answers what the server saw.
func (m *mesh) reset(addr string, reports <-chan string) string {
	return m.end(addr, reports, func(c *net.TCPConn) error { return c.SetLinger(0) })
}

func (m *mesh) hangUp(addr string, reports <-chan string) string {
	return m.end(addr, reports, func(*net.TCPConn) error { return nil })
}

func (m *mesh) end(addr string, reports <-chan string, before func(*net.TCPConn) error) string {
	c, err := m.dial("tcp", addr)
	if err != nil {
		return plain("", err)
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	if err := errors.Join(err, before(c.(*net.TCPConn)), c.Close()); err != nil {
		return plain("", err)
	}
	select {
	case r := <-reports:
		return r
	case <-time.After(patience):
		return "the server saw nothing"
	}
}

// echo sends bytes, half-closes, and reads their echo to its end.
func (m *mesh) echo(addr string, n int, flags ...string) string {
	m.t.Helper()
	var r struct {
		Banner, Error string
		Received      int
		Equal         bool
	}
	m.box(&r, append(append([]string{"tcp", fmt.Sprint("--bytes=", n)}, flags...), addr)...)
	if r.Banner != "" {
		r.Banner = "with a banner"
	}
	return fmt.Sprintf("%d bytes, equal: %v, %s%s", r.Received, r.Equal, r.Banner, r.Error)
}

// certificate answers whether the client is shown one of the servers' certificates, and which SNI and protocol the server
// says it was sent.
func (m *mesh) certificate(addr string) string {
	m.t.Helper()
	var r, body struct {
		CertSHA256, ServerName, ALPN, Error, Body, Version string
		TLS                                                struct{ CertSHA256, ServerName, ALPN string }
	}
	m.box(&r, "tls", "--servername=shop.test", "--alpn=foo,http/1.1", addr)
	decode(m.t, cmp.Or(r.Body, "{}"), &body)
	return fmt.Sprintf("certificate of the one who answers: %v, SNI %s, ALPN %s, %s%s",
		r.CertSHA256 == body.TLS.CertSHA256 && r.CertSHA256 != "", body.TLS.ServerName, body.TLS.ALPN, r.Version, r.Error)
}

func (m *mesh) webSocket() string {
	m.t.Helper()
	var r struct {
		Messages int
		Error    string
	}
	m.box(&r, "ws", "ws://10.96.0.10/ws")
	return fmt.Sprintf("%d echoed%s", r.Messages, r.Error)
}

// A protocol in which the server speaks first must not wait for us. The figures are for people: time on a test machine
// proves nothing, but for somebody who waits for a silent client (the proxy's longest such wait is 200 ms).
func TestAServersFirstWordsComeInTime(t *testing.T) {
	m := newMesh(t, 2)
	serveTCP(t, m.servers[0].Pod, 9102, func(c *net.TCPConn) {
		fmt.Fprint(c, "!")
		_, _ = io.Copy(io.Discard, c) // until the client is gone
	})
	m.service("plain", []netip.Addr{plainIP}, plainPorts, m.servers[0])
	const rounds = 25
	measure := func(addr string) time.Duration {
		var all []time.Duration
		for range rounds {
			began := time.Now()
			c, err := m.dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			all = append(all, time.Since(began))
			c.Close()
		}
		slices.Sort(all)
		return all[rounds/2]
	}
	services := []struct{ what, addr string }{{"declared as tcp", "10.96.0.10:25"}, {"undeclared", "10.96.0.20:9102"}}
	var before [2]time.Duration
	for i, s := range services {
		before[i] = measure(s.addr)
	}
	m.addSluice()
	for i, s := range services {
		after := measure(s.addr)
		t.Logf("first byte, %s, median of %d: %v without, %v with Sluice (%.2f times)", s.what, rounds, before[i], after,
			float64(after)/float64(before[i]))
		if after > 100*time.Millisecond {
			t.Errorf("%s: a server's first words take %v", s.what, after)
		}
	}
}
