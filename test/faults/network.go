package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

const (
	serviceCIDR = "10.96.0.0/16"
	proxyUser   = 15301
	httpPort    = 8080 // of the pods
	controlPort = 8081
	startTime   = 20 * time.Second // for a program to listen, on a busy machine
)

var (
	listenAt  = netip.MustParseAddrPort("127.0.0.1:15301") // of every proxy
	clusterIP = netip.MustParseAddrPort("10.96.0.10:80")
)

const serviceURL = "http://10.96.0.10"

// network is a node, a client's pod with a peer's proxy in it, and pods that serve the Service. Each measurement has its own, so
// that no proxy remembers another's faults.
type network struct {
	ctx      context.Context // of the processes
	cancel   context.CancelFunc
	programs programs
	shape    shape
	dir      string // of this network
	net      *meshtest.Net
	client   *meshtest.Pod
	pods     []*pod
	rules    []string // the Service's settings now
	wired    bool     // the node leads the ClusterIP's connections to the Service's chain
	proxy    *meshtest.Cmd
}

// shape is what a network is made of.
type shape struct {
	pods   int
	h2     bool     // clients speak HTTP/2
	grpc   bool     // clients and pods are gRPC's; the pods have no control port
	opaque bool     // the pods say their names and echo
	ports  int      // of the Service, from the ClusterIP's on, all with the same pods; 0 is one
	toxic  bool     // a toxiproxy stands before every pod's server
	lasts  bool     // what the pods do is written down where it outlives them
	serve  []string // more flags of the pods' servers
	rules  []string // the Service's settings at the start: NAME=VALUE
}

// programs say where the programs are.
type programs struct {
	dir       string // of the built ones
	toxiproxy string // path; empty when no case needs it
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// pod is a server.
type pod struct {
	*meshtest.Pod
	name   string
	server *meshtest.Cmd // nil while it is down
	toxic  *meshtest.Cmd // nil without one
}

// openNetwork makes a network with so many pods behind the Service, and starts the peer's proxy. The caller closes it, after an
// error too.
func openNetwork(ctx context.Context, programs programs, p *peer, s shape) (n *network, err error) {
	n = &network{programs: programs, shape: s, rules: s.rules}
	n.ctx, n.cancel = context.WithCancel(ctx)
	// Below /tmp, whatever TMPDIR says: the proxy's user reads and writes here.
	if n.dir, err = os.MkdirTemp("/tmp", "sluice-faults-"); err != nil {
		return n, err
	}
	if err := errors.Join(os.Chown(n.dir, proxyUser, proxyUser), os.Chmod(n.dir, 0o755), os.Mkdir(n.manifests(), 0o755)); err != nil {
		return n, err
	}
	if n.net, err = meshtest.Open(); err != nil {
		return n, err
	}
	if n.client, err = n.net.AddPod("10.77.0.2"); err != nil {
		return n, err
	}
	if err := widen(n.client); err != nil {
		return n, err
	}
	for range s.pods {
		if _, err := n.addPod(); err != nil {
			return n, err
		}
	}
	return n, errors.Join(n.endpoints(n.pods...), n.startProxy(p))
}

func (n *network) manifests() string { return filepath.Join(n.dir, "manifests") }

// addPod adds a pod and starts its server. It is no endpoint yet.
func (n *network) addPod() (*pod, error) {
	p := &pod{name: fmt.Sprintf("pod-%d", len(n.pods))}
	n.pods = append(n.pods, p)
	var err error
	if p.Pod, err = n.net.AddPod(fmt.Sprintf("10.77.0.%d", 10+len(n.pods))); err != nil {
		return nil, err
	}
	if err := n.startToxiproxy(p); err != nil {
		return nil, err
	}
	return p, n.startServer(p)
}

// startServer starts a pod's server and waits until it listens.
func (n *network) startServer(p *pod) error {
	port, program := uint16(httpPort), "box"
	args := []string{"serve", "--pod=" + p.name}
	switch {
	case n.shape.grpc:
		program, args = grpcBox, append(args, fmt.Sprintf("--address=:%d", port))
	case n.shape.opaque:
		args = append(args, "--http=", fmt.Sprintf("--banner=:%d", port), fmt.Sprintf("--control=:%d", controlPort), "--tls=", "--echo=")
	default:
		if n.shape.toxic {
			port = behindToxics
		}
		args = append(args, fmt.Sprintf("--http=:%d", port), fmt.Sprintf("--control=:%d", controlPort), "--tls=", "--banner=", "--echo=")
	}
	if n.shape.lasts {
		args = append(args, "--effects-file="+n.effectsFile(p))
	}
	p.server = p.Command(n.ctx, n.programs.path(program), append(args, n.shape.serve...)...)
	if err := p.server.Start(); err != nil {
		p.server = nil
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, startTime)
	defer cancel()
	if err := p.WaitPort(ctx, port); err != nil || n.shape.grpc {
		return err
	}
	return p.WaitPort(ctx, controlPort)
}

// endpoints tells the network which pods are ready: discovery and kube-proxy's rules learn of it. HAProxy and nginx keep the
// servers that they were started with, and have to see for themselves.
func (n *network) endpoints(ready ...*pod) error {
	return errors.Join(n.discover(ready...), n.kubeProxy(ready...))
}

// port is how the Service declares its own.
func (s shape) port() manifest.Port {
	p := manifest.Port{Name: "http", Port: clusterIP.Port(), Target: httpPort}
	switch {
	case s.grpc:
		p.Name, p.AppProtocol = "grpc", "grpc"
	case s.opaque:
		p.Name = "tcp-banner"
	case s.h2:
		p.Name, p.AppProtocol = "http2", "kubernetes.io/h2c"
	}
	return p
}

// portList is all ports of the Service.
func (s shape) portList() (all []manifest.Port) {
	for i := range max(s.ports, 1) {
		p := s.port()
		if i > 0 {
			p.Name, p.Port = fmt.Sprintf("%s-%d", p.Name, i), p.Port+uint16(i)
		}
		all = append(all, p)
	}
	return all
}

// discover tells discovery only.
func (n *network) discover(ready ...*pod) error {
	s := manifest.Service{Name: "shop", ClusterIPs: []netip.Addr{clusterIP.Addr()},
		Ports: n.shape.portList(), Annotations: map[string]string{}}
	for _, r := range n.rules {
		name, value, _ := strings.Cut(r, "=")
		s.Annotations["sluice.mesh/"+name] = value
	}
	for _, p := range ready {
		s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: p.name, Addr: p.Addrs[0]})
	}
	return s.Write(n.manifests())
}

const serviceChain = "KUBE-SVC-SHOP"

// kubeProxy makes the node send each new connection to one of the pods, at random. As kube-proxy does it, all rules change at
// once: no connection meets half of them.
func (n *network) kubeProxy(ready ...*pod) error {
	var b strings.Builder
	fmt.Fprintf(&b, "*nat\n:%s - [0:0]\n", serviceChain)
	for i, p := range ready {
		chance := ""
		if left := len(ready) - i; left > 1 {
			chance = fmt.Sprintf("-m statistic --mode random --probability %.10f ", 1/float64(left))
		}
		fmt.Fprintf(&b, "-A %s -p tcp %s-j DNAT --to-destination %s:%d\n", serviceChain, chance, p.Addrs[0], httpPort)
	}
	if !n.wired {
		fmt.Fprintf(&b, "-A PREROUTING -p tcp -d %s --dport %d:%d -j %s\n", clusterIP.Addr(), clusterIP.Port(),
			int(clusterIP.Port())+max(n.shape.ports, 1)-1, serviceChain)
		n.wired = true
	}
	b.WriteString("COMMIT\n")
	c := n.net.Node.Command(n.ctx, "iptables-restore", "-w", "--noflush")
	c.Stdin = strings.NewReader(b.String())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, out)
	}
	return nil
}

// startProxy does what the kubelet does: it runs the init container and then the proxy, in the client's pod, and waits until a
// request is answered.
func (n *network) startProxy(p *peer) error {
	if p.start == nil {
		return nil
	}
	init := n.client.Command(n.ctx, n.programs.path("initcontainer"), "--redirect-cidrs="+serviceCIDR)
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initcontainer: %w: %s", err, out)
	}
	s := setting{Dir: n.dir, Programs: n.programs.dir, Manifests: n.manifests(), Listen: listenAt,
		H2: n.shape.h2 || n.shape.grpc, GRPC: n.shape.grpc}
	for _, q := range n.pods {
		s.Backends = append(s.Backends, netip.AddrPortFrom(q.Addrs[0], httpPort))
	}
	argv, err := p.start(s)
	if err != nil {
		return err
	}
	log, err := os.Create(n.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	n.proxy = n.client.Command(n.ctx, argv[0], argv[1:]...).As(proxyUser, proxyUser)
	// A process namespace of its own, as a container has: when the proxy ends, the kernel ends what it has started.
	n.proxy.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	n.proxy.Stdout, n.proxy.Stderr = log, log
	if err := n.proxy.Start(); err != nil {
		n.proxy = nil
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, startTime)
	defer cancel()
	if err := n.client.WaitPort(ctx, listenAt.Port()); err != nil {
		return fmt.Errorf("%s: %w: %s", p.title, err, n.log())
	}
	return nil
}

func (n *network) logFile() string { return filepath.Join(n.dir, "proxy.log") }

// log answers the end of what the proxy has written.
func (n *network) log() string {
	b, err := os.ReadFile(n.logFile())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// close ends the processes and removes the network.
func (n *network) close() {
	n.cancel()
	for _, p := range n.pods {
		if p.server != nil {
			_ = p.server.Wait() // killed
		}
		if p.toxic != nil {
			_ = p.toxic.Wait() // killed
		}
	}
	if n.proxy != nil {
		_ = n.proxy.Wait() // killed
	}
	if n.net != nil {
		_ = n.net.Close() // only closes descriptors; the kernel does the rest
	}
	_ = os.RemoveAll(n.dir)
}

// widen gives the client many local ports: thousands of short connections leave as many behind them for a minute.
func widen(p *meshtest.Pod) error {
	return p.Do(func() error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("1024 65000"), 0),
			os.WriteFile("/proc/sys/net/ipv4/ip_local_reserved_ports", []byte("15301-15303"), 0),
			os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0))
	})
}
