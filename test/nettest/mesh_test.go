package nettest

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

const (
	proxyUser  = 15301
	proxyPort  = 15301
	healthPort = 15302

	// patience is for what has to come and may be slow on a busy machine. Nothing is asserted with it but that it comes.
	patience = 20 * time.Second
)

// The Service of the tests, over all servers: HTTP/1.x on 80, TLS on 443, a server that speaks first on 25, an echo on 7.
var (
	shop4, shop6 = netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd96::10")
	shopPorts    = []manifest.Port{
		{Name: "http", Port: 80, Target: 8080}, {Name: "https", Port: 443, Target: 8443},
		{Name: "tcp-banner", Port: 25, Target: 9000}, {Name: "echo", Port: 7, Target: 9001},
	}
)

const shopURL = "http://10.96.0.10"

// mesh is a client's pod, servers' pods with the test application, and a node that serves their Services as kube-proxy
// does.
type mesh struct {
	t       *testing.T
	net     *meshtest.TestNet
	client  *meshtest.Pod
	servers []*server
	dir     string // of the manifests
	sidecar *process
}

type server struct {
	name string
	*meshtest.Pod
	app *process
}

// process is a program that runs in a pod until stop, or the test's end.
type process struct {
	t   *testing.T
	cmd *meshtest.Cmd
	log bytes.Buffer
}

// newMesh makes a mesh with n servers behind the shop, without Sluice in it.
func newMesh(t *testing.T, n int) *mesh {
	t.Helper()
	if err := permitted(); err != nil {
		t.Skipf("this test needs to be root: %v", err)
	}
	m := &mesh{t: t, net: meshtest.NewNet(t), dir: t.TempDir()}
	readable(t, m.dir)
	m.client = m.net.Pod("10.77.0.2", "fd77::2")
	for i := range n {
		s := &server{name: "pod-" + string(rune('a'+i))}
		s.Pod = m.net.Pod(fmt.Sprintf("10.77.0.%d", 11+i), fmt.Sprintf("fd77::%d", 11+i))
		m.servers = append(m.servers, s)
		s.app = m.start(s.Pod, program("box"), "serve", "--pod="+s.name)
	}
	for _, s := range m.servers {
		m.waitPorts(s.Pod, 8080, 8443, 9000, 9001)
	}
	m.publish(m.servers...)
	return m
}

// readable lets the proxy's user into a directory of the test.
func readable(t *testing.T, dir string) {
	t.Helper()
	for d := dir; strings.HasPrefix(d, os.TempDir()) && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// within bounds what has to come.
func (m *mesh) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(m.t.Context(), d)
	m.t.Cleanup(cancel)
	return ctx
}

func (m *mesh) waitPorts(p *meshtest.Pod, ports ...uint16) {
	m.t.Helper()
	for _, port := range ports {
		if err := p.WaitPort(m.within(patience), port); err != nil {
			m.t.Fatal(err)
		}
	}
}

// start runs a program in a pod, as root.
func (m *mesh) start(p *meshtest.Pod, name string, args ...string) *process {
	m.t.Helper()
	return m.startAs(p, 0, name, args...)
}

func (m *mesh) startAs(p *meshtest.Pod, user uint32, name string, args ...string) *process {
	m.t.Helper()
	proc := &process{t: m.t, cmd: p.Command(context.Background(), name, args...)}
	proc.cmd.Stdout, proc.cmd.Stderr = &proc.log, &proc.log
	if user != 0 {
		proc.cmd.As(user, user)
	}
	if err := proc.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(proc.kill)
	return proc
}

// kill is kill -9, and waits for the end. A second time it does nothing.
func (p *process) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Errorf("kill %s: %v", p.cmd.Path, err)
	}
	_ = p.cmd.Wait() // its error is that it was killed
}

// publish makes the servers the shop's endpoints, for kube-proxy's rules and for discovery, both address families.
func (m *mesh) publish(ready ...*server) {
	m.t.Helper()
	m.service("shop", []netip.Addr{shop4, shop6}, shopPorts, ready...)
}

// service makes a Service known to the node and to discovery.
func (m *mesh) service(name string, vips []netip.Addr, ports []manifest.Port, ready ...*server) {
	m.t.Helper()
	m.discover(name, vips, ports, ready...)
	m.kubeProxy(vips, ports, ready...)
}

// discover makes a Service known to discovery only.
func (m *mesh) discover(name string, vips []netip.Addr, ports []manifest.Port, ready ...*server) {
	m.t.Helper()
	s := manifest.Service{Name: name, ClusterIPs: vips, Ports: ports}
	for _, r := range ready {
		for _, a := range r.Addrs {
			s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: r.name, Addr: a})
		}
	}
	if err := s.Write(m.dir); err != nil {
		m.t.Fatal(err)
	}
}

// kubeProxy makes a Service known to the node only.
func (m *mesh) kubeProxy(vips []netip.Addr, ports []manifest.Port, ready ...*server) {
	m.t.Helper()
	for _, vip := range vips {
		for _, p := range ports {
			var backends []netip.AddrPort
			for _, r := range ready {
				for _, a := range r.Addrs {
					if a.Is4() == vip.Is4() {
						backends = append(backends, netip.AddrPortFrom(a, p.Target))
					}
				}
			}
			if err := m.net.Service(netip.AddrPortFrom(vip, p.Port), backends...); err != nil {
				m.t.Fatal(err)
			}
		}
	}
}

// addSluice does in the client's pod what the webhook has a kubelet do.
func (m *mesh) addSluice(flags ...string) {
	m.t.Helper()
	m.initContainer()
	m.startSidecar(flags...)
}

// initContainer runs the init container in the client's pod and returns its log.
func (m *mesh) initContainer() string {
	m.t.Helper()
	return m.run(m.client, program("initcontainer"), "--redirect-cidrs=10.96.0.0/16,fd96::/108")
}

func (m *mesh) startSidecar(flags ...string) {
	m.t.Helper()
	flags = append([]string{"--discovery=files", "--manifests=" + m.dir}, flags...)
	m.sidecar = m.startAs(m.client, proxyUser, program("sidecar"), flags...)
	side := m.sidecar
	m.t.Cleanup(func() {
		side.kill() // before its log is read
		if log := side.log.String(); m.t.Failed() {
			m.t.Logf("the sidecar's log:\n%s", log)
		} else if strings.Contains(log, `"level":"ERROR"`) {
			m.t.Errorf("the sidecar logged an error:\n%s", log)
		}
	})
	m.run(m.client, program("sidecar"), "wait", "--timeout="+patience.String())
}

// run runs a program in a pod to its end, expects success, and returns what it wrote.
func (m *mesh) run(p *meshtest.Pod, name string, args ...string) string {
	m.t.Helper()
	out, err := m.try(p, name, args...)
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// try is run with the error for the caller.
func (m *mesh) try(p *meshtest.Pod, name string, args ...string) (string, error) {
	out, err := p.Command(m.within(2*patience), name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), err
}
