package initcontainer

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A client that opens many connections to several Services uses the same source ports again and again. Behind REDIRECT
// they all lead to one address, so the kernel has to find each one another port; connections of other meshes were lost
// here (istio/istio#38982, linkerd/linkerd2#15505). Here 64 source ports serve 2,000 connections to four Services.
func TestScarceSourcePortsLoseNoConnection(t *testing.T) {
	const connections, clients = 2000, 16
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t)
			err := m.pod.Do(func() error {
				return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40063"), 0)
			})
			if err != nil {
				t.Fatal(err)
			}
			m.apply(dual + "--iptables-mode=" + mode)
			var all sync.WaitGroup
			var mu sync.Mutex
			wrong := map[string]int{}
			for client := range clients {
				all.Go(func() {
					for i := range connections / clients {
						address := fmt.Sprintf("10.96.0.%d:80", 10+(client+i)%4)
						if got := m.ask(0, address); got != "proxy for "+address {
							mu.Lock()
							wrong[got]++
							mu.Unlock()
						}
					}
				})
			}
			all.Wait()
			if len(wrong) > 0 {
				t.Errorf("of %d connections these got a wrong answer: %v", connections, wrong)
			}
		})
	}
}

// Connections from one source port to two Services become one tuple behind REDIRECT. Both must get through, and the
// proxy must be told each one's own destination.
func TestTwoConnectionsFromOneSourcePortBothReachTheProxy(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		for _, c := range []struct{ name, source, a, b string }{
			{"IPv4", "10.77.0.2", serviceA, serviceB}, {"IPv6", "fd77::2", serviceA6, serviceB6},
		} {
			t.Run(mode+" "+c.name, func(t *testing.T) {
				installed(t, mode)
				m := newMesh(t)
				m.apply(dual + "--iptables-mode=" + mode)
				// The proxy's side stays open until both are connected, so that the first tuple is in use.
				var conns []net.Conn
				for _, address := range []string{c.a, c.b} {
					conn, err := m.dialFrom(t, c.source, 40000, address)
					if err != nil {
						t.Fatalf("%s: %v", address, err)
					}
					defer conn.Close()
					conns = append(conns, conn)
				}
				for i, want := range []string{c.a, c.b} {
					b := make([]byte, 64)
					n, err := conns[i].Read(b)
					if got := string(b[:n]); err != nil || got != "proxy for "+want {
						t.Errorf("%s answers %q, %v", want, got, err)
					}
				}
			})
		}
	}
}

// dialFrom connects from a given source port, which other connections may have too.
func (m *mesh) dialFrom(t *testing.T, host string, port int, address string) (conn net.Conn, err error) {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(host), Port: port},
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			ctl := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			})
			if ctl != nil {
				return ctl
			}
			return err
		}}
	err = m.pod.Do(func() error {
		conn, err = d.DialContext(t.Context(), "tcp", address)
		return err
	})
	return conn, err
}
