package initcontainer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// asProgram makes the test binary be the init container's program, for tests that need it as a process.
const asProgram = "SLUICE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Run(context.Background(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	meshtest.Main(m)
}

const (
	proxyPort = 15301
	proxyUID  = 15301

	// Service addresses with one backend, and what of them the tests exclude.
	serviceA, serviceB   = "10.96.0.10:80", "10.96.0.11:80"
	serviceA6, serviceB6 = "[fd96::10]:80", "[fd96::11]:80"

	dual = "--redirect-cidrs=10.96.0.0/16,fd96::/108 "
)

// mesh is a pod with a stand-in for the proxy, and a server behind Services that the node routes to.
type mesh struct {
	t   *testing.T
	net *meshtest.TestNet
	pod *meshtest.Pod
}

// newMesh makes a mesh whose node sends each of the Services to a server that answers "server"; the pod's proxy answers
// "proxy for" and the address that was asked for, and everything else in the pod on port 80 answers "pod".
func newMesh(t *testing.T, services ...string) *mesh {
	t.Helper()
	n := meshtest.NewNet(t)
	if err := meshtest.UserMapped(proxyUID); err != nil {
		t.Skipf("rules cannot name the proxy's user here: %v", err)
	}
	m := &mesh{t, n, n.Pod("10.77.0.2", "fd77::2")}
	server := n.Pod("10.77.0.3", "fd77::3")
	for _, s := range services {
		vip := netip.MustParseAddrPort(s)
		backend := netip.AddrPortFrom(server.Addrs[0], vip.Port())
		if vip.Addr().Is6() {
			backend = netip.AddrPortFrom(server.Addrs[1], vip.Port())
		}
		if err := n.Service(vip, backend); err != nil {
			t.Fatal(err)
		}
	}
	for _, port := range []int{25, 53, 80, 443} {
		for _, host := range []string{"10.77.0.3", "fd77::3"} {
			serve(t, server, host, port, func(net.Conn) string { return "server" })
		}
	}
	for _, host := range []string{"10.77.0.2", "fd77::2"} {
		serve(t, m.pod, host, 80, func(net.Conn) string { return "pod" })
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		serve(t, m.pod, host, proxyPort, func(c net.Conn) string {
			dst, err := originalDst(c.(*net.TCPConn))
			if err != nil {
				return err.Error()
			}
			return "proxy for " + dst.String()
		})
	}
	return m
}

// serve answers each connection with a text and closes it.
func serve(t *testing.T, p *meshtest.Pod, host string, port int, answer func(net.Conn) string) {
	t.Helper()
	l, err := p.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(port)))
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
				_, _ = io.WriteString(c, answer(c)) // a client that is gone is the test's to notice
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
}

// originalDst is what the proxy does to learn where a redirected connection was going.
func originalDst(c *net.TCPConn) (dst netip.AddrPort, err error) {
	const soOriginalDst = 80 // linux/netfilter_ipv4.h; the same number in IPv6
	raw, err := c.SyscallConn()
	if err != nil {
		return dst, err
	}
	v4 := c.LocalAddr().(*net.TCPAddr).IP.To4() != nil
	ctl := raw.Control(func(fd uintptr) {
		if v4 {
			// The kernel writes a struct sockaddr_in; this is the call that has room for its 16 bytes.
			var m *unix.IPv6Mreq
			if m, err = unix.GetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IP, soOriginalDst); err == nil {
				b := m.Multiaddr
				dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:4]))
			}
			return
		}
		var i *unix.IPv6MTUInfo // begins with a struct sockaddr_in6
		if i, err = unix.GetsockoptIPv6MTUInfo(int(fd), unix.IPPROTO_IPV6, soOriginalDst); err == nil {
			port := (*[2]byte)(unsafe.Pointer(&i.Addr.Port)) // in network order
			dst = netip.AddrPortFrom(netip.AddrFrom16(i.Addr.Addr), binary.BigEndian.Uint16(port[:]))
		}
	})
	return dst, errors.Join(ctl, err)
}

// as does something in the pod as a user.
func (m *mesh) as(uid int, f func() error) error {
	return m.pod.Do(func() (err error) {
		// The owner match looks at the user the socket was made under, which is the thread's file system user.
		old, err := unix.SetfsuidRetUid(uid)
		if err != nil {
			return err
		}
		defer func() {
			_, back := unix.SetfsuidRetUid(old)
			err = errors.Join(err, back)
		}()
		return f()
	})
}

// ask connects from the pod as a user and returns the answer, or the error's text.
func (m *mesh) ask(uid int, address string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	var c net.Conn
	err := m.as(uid, func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// run does what the program does, in the pod, and returns its exit status, output and log.
func (m *mesh) run(flags string, env ...string) (status int, stdout, log string) {
	m.t.Helper()
	var out, logged bytes.Buffer
	err := m.pod.Do(func() error {
		status = Run(m.t.Context(), strings.Fields(flags), env, &out, &logged)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return status, out.String(), logged.String()
}

// apply runs the program and expects success; it returns the log.
func (m *mesh) apply(flags string, env ...string) string {
	m.t.Helper()
	status, _, log := m.run(flags, env...)
	if status != ExitDone {
		m.t.Fatalf("%s: exit status %d\n%s", flags, status, log)
	}
	return log
}

// rules lists the pod's rules and our chains in the tables that we use, of every program of the modes.
func (m *mesh) rules(modes ...string) string {
	m.t.Helper()
	var b strings.Builder
	for _, mode := range modes {
		for _, p := range []string{"iptables-", "ip6tables-"} {
			for _, table := range []string{"nat", "filter"} {
				out, err := m.pod.Command(m.t.Context(), p+mode, "-t", table, "-S").Output()
				if err != nil {
					m.t.Fatalf("%s%s: %v", p, mode, err)
				}
				fmt.Fprintf(&b, "# %s%s %s\n", p, mode, table)
				for line := range strings.Lines(string(out)) {
					if !strings.HasPrefix(line, "-P") { // nft makes built-in chains when it needs them
						b.WriteString(line)
					}
				}
			}
		}
	}
	return b.String()
}

// installed skips the test when a mode's programs are not there.
func installed(t *testing.T, modes ...string) {
	t.Helper()
	for _, mode := range modes {
		for _, p := range []string{"iptables-", "ip6tables-"} {
			if _, err := exec.LookPath(p + mode); err != nil {
				t.Skipf("this test needs the program %s%s: %v", p, mode, err)
			}
		}
	}
}
