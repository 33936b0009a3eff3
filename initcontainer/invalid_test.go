package initcontainer

import (
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

const (
	echoPort  = 15399 // of a proxy that keeps its connections
	farBeyond = 1 << 30
)

// A packet beyond the window is invalid to the kernel, which then does not translate it: without a rule of ours it would
// go on to the Service or, on the way back, arrive from an address the application knows nothing of, and either way be
// answered with a reset.
func TestAnInvalidPacketDoesNotResetItsConnection(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA, serviceA6)
			for _, host := range []string{"127.0.0.1", "::1"} {
				serve(t, m.pod, host, echoPort, func(c net.Conn) string {
					_, _ = io.Copy(c, c) // the client notices
					return ""
				})
			}
			m.apply(dual + "--iptables-mode=" + mode + " --proxy-port=" + strconv.Itoa(echoPort))
			for _, c := range []struct{ program, service, proxy string }{
				{"iptables-" + mode, serviceA, "127.0.0.1"}, {"ip6tables-" + mode, serviceA6, "::1"},
			} {
				service, proxy := netip.MustParseAddrPort(c.service), netip.AddrPortFrom(netip.MustParseAddr(c.proxy), echoPort)
				for name, inject := range map[string]func(client netip.AddrPort, sent, got uint32) error{
					"to the proxy": func(client netip.AddrPort, sent, got uint32) error {
						return meshtest.Inject(client, service, sent+farBeyond, got)
					},
					"from the proxy": func(client netip.AddrPort, sent, got uint32) error {
						return meshtest.Inject(proxy, client, got+farBeyond, sent)
					},
				} {
					conn := m.dial(t, 0, c.service)
					echoes(t, conn)
					before := m.dropped(t, c.program)
					m.inject(t, 0, conn, inject)
					if n := m.dropped(t, c.program) - before; n != 1 {
						t.Errorf("%s %s: %d packets were dropped, want 1", c.program, name, n)
					}
					echoes(t, conn)
				}
			}
		})
	}
}

// What is not redirected is not dropped.
func TestInvalidPacketsOfOthersAreLeftAlone(t *testing.T) {
	for _, mode := range []string{"nft", "legacy"} {
		t.Run(mode, func(t *testing.T) {
			installed(t, mode)
			m := newMesh(t, serviceA, serviceB, serviceA6, serviceB6, "10.96.0.10:25")
			m.apply(dual + "--iptables-mode=" + mode + " --exclude-ports=25 --exclude-cidrs=10.96.0.11,fd96::11 --exclude-uids=1000")
			for _, c := range []struct {
				why     string
				uid     int
				address string
			}{
				{"the proxy itself", proxyUID, serviceA},
				{"the proxy itself", proxyUID, serviceA6},
				{"an excluded user", 1000, serviceA},
				{"an excluded address", 0, serviceB},
				{"an excluded address", 0, serviceB6},
				{"an excluded port", 0, "10.96.0.10:25"},
				{"a pod's address", 0, "10.77.0.3:80"},
				{"the pod's own address", 0, "[fd77::2]:80"},
			} {
				to := netip.MustParseAddrPort(c.address)
				m.inject(t, c.uid, m.dial(t, c.uid, c.address), func(client netip.AddrPort, sent, got uint32) error {
					return meshtest.Inject(client, to, sent+farBeyond, got)
				})
				for _, program := range []string{"iptables-" + mode, "ip6tables-" + mode} {
					if n := m.dropped(t, program); n != 0 {
						t.Fatalf("%s: %s dropped %d packets of user %d to %s", c.why, program, n, c.uid, c.address)
					}
				}
			}
		})
	}
}

func (m *mesh) dial(t *testing.T, uid int, address string) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	err := m.as(uid, func() (err error) {
		conn, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", address)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// echoes writes something on a connection and reads it back.
func echoes(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := []byte("hello")
	if _, err := conn.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
}

// inject sends a packet as a user, told the connection's own address and which bytes it sends and gets next.
func (m *mesh) inject(t *testing.T, uid int, conn *net.TCPConn, send func(client netip.AddrPort, sent, got uint32) error) {
	t.Helper()
	sent, got, err := meshtest.Sequence(conn)
	if err != nil {
		t.Fatal(err)
	}
	client := conn.LocalAddr().(*net.TCPAddr).AddrPort()
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if err := m.as(uid, func() error { return send(client, sent, got) }); err != nil {
		t.Fatal(err)
	}
}

// dropped is how many packets the chain's rules have dropped.
func (m *mesh) dropped(t *testing.T, program string) (n int) {
	t.Helper()
	out, err := m.pod.Command(t.Context(), program, "-t", "filter", "-v", "-x", "-n", "-L", "SLUICE_INVALID_A").Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "DROP" {
			packets, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatalf("%s: %q", program, line)
			}
			n += packets
		}
	}
	return n
}
