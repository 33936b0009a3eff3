package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

const (
	serviceCIDR = "10.96.0.0/16"
	proxyUser   = 15301
	proxyPort   = 15301
	serverPort  = 8080
	startTime   = 10 * time.Second // for a program to listen
)

var (
	clusterIP = netip.MustParseAddrPort("10.96.0.10:80")
	podNames  = []string{"pod-a", "pod-b", "pod-c"}
)

// half is one of the two networks: a client's pod, three servers' pods, and the node between them with the rules of
// kube-proxy. With Sluice the client's pod has its init container and its sidecar besides.
type half struct {
	sluice   bool
	rootless bool // the proxy cannot have a user of its own
	dir      string
	ctx      context.Context // of the processes
	cancel   context.CancelFunc

	net     *meshtest.Net
	wired   bool // the node leads the ClusterIP's connections to the Service's chain
	client  *meshtest.Pod
	pods    []*pod
	sidecar *meshtest.Cmd
}

// pod is a server.
type pod struct {
	name string
	*meshtest.Pod
	server *meshtest.Cmd // nil while it is down
}

// openBoth makes the two halves, at the same time.
func openBoth(ctx context.Context, dir string) (without, with *half, err error) {
	failed := make(chan error, 1)
	go func() {
		var err error
		without, err = open(ctx, dir, false)
		failed <- err
	}()
	with, err = open(ctx, dir, true)
	return without, with, errors.Join(err, <-failed)
}

func open(ctx context.Context, dir string, sluice bool) (*half, error) {
	h := &half{sluice: sluice, rootless: meshtest.UserMapped(proxyUser) != nil, dir: dir}
	h.ctx, h.cancel = context.WithCancel(ctx)
	var err error
	if h.net, err = meshtest.Open(); err != nil {
		return h, err
	}
	if h.client, err = h.net.AddPod("10.77.0.2"); err != nil {
		return h, err
	}
	for i, name := range podNames {
		p := &pod{name: name}
		h.pods = append(h.pods, p)
		if p.Pod, err = h.net.AddPod(fmt.Sprintf("10.77.0.%d", 11+i)); err != nil {
			return h, err
		}
		if err := h.startServer(p); err != nil {
			return h, err
		}
	}
	if sluice {
		err = os.Mkdir(h.manifests(), 0o755)
	}
	return h, errors.Join(err, h.endpoints(h.pods...), h.addSluice())
}

func (h *half) program(name string) string { return filepath.Join(h.dir, name) }
func (h *half) manifests() string          { return filepath.Join(h.dir, "manifests") }
func (h *half) logFile() string            { return filepath.Join(h.dir, "sidecar.log") }

// startServer starts a pod's server and waits until it listens.
func (h *half) startServer(p *pod) error {
	p.server = p.Command(h.ctx, h.program("box"), "serve", "--pod="+p.name, fmt.Sprintf("--http=:%d", serverPort),
		"--control=", "--tls=", "--banner=", "--echo=")
	if err := p.server.Start(); err != nil {
		p.server = nil
		return err
	}
	ctx, cancel := context.WithTimeout(h.ctx, startTime)
	defer cancel()
	return p.WaitPort(ctx, serverPort)
}

// killServer is kill -9.
func (h *half) killServer(p *pod) error {
	if err := p.server.Process.Kill(); err != nil {
		return err
	}
	_ = p.server.Wait() // its error is that it was killed
	p.server = nil
	return nil
}

// endpoints tells the network which pods are ready, as the cluster does: kube-proxy's rules change, and in the half with
// Sluice the manifests.
func (h *half) endpoints(ready ...*pod) error {
	var backends []netip.AddrPort
	s := manifest.Service{Name: "shop", ClusterIPs: []netip.Addr{clusterIP.Addr()},
		Ports: []manifest.Port{{Name: "http", Port: clusterIP.Port(), Target: serverPort}}}
	for _, p := range ready {
		backends = append(backends, netip.AddrPortFrom(p.Addrs[0], serverPort))
		s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: p.name, Addr: p.Addrs[0]})
	}
	if h.sluice {
		if err := s.Write(h.manifests()); err != nil {
			return err
		}
	}
	return h.kubeProxy(backends)
}

// kubeProxy makes the node send each new connection to one of the backends, at random. As kube-proxy does it, all rules
// change at once: no connection meets half of them.
func (h *half) kubeProxy(backends []netip.AddrPort) error {
	rules := serviceRules(backends)
	if !h.wired {
		rules = strings.Replace(rules, "COMMIT", fmt.Sprintf("-A PREROUTING -p tcp -d %s --dport %d -j %s\nCOMMIT",
			clusterIP.Addr(), clusterIP.Port(), serviceChain), 1)
		h.wired = true
	}
	return h.restore(h.net.Node, rules)
}

const serviceChain = "KUBE-SVC-SHOP"

// serviceRules fills the Service's chain anew, in the text of iptables-restore.
func serviceRules(backends []netip.AddrPort) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*nat\n:%s - [0:0]\n", serviceChain)
	for i, to := range backends {
		chance := ""
		if left := len(backends) - i; left > 1 {
			chance = fmt.Sprintf("-m statistic --mode random --probability %.10f ", 1/float64(left))
		}
		fmt.Fprintf(&b, "-A %s -p tcp %s-j DNAT --to-destination %s\n", serviceChain, chance, to)
	}
	return b.String() + "COMMIT\n"
}

// restore loads rules beside those that are there.
func (h *half) restore(ns *meshtest.Namespace, rules string) error {
	c := ns.Command(h.ctx, "iptables-restore", "-w", "--noflush")
	c.Stdin = strings.NewReader(rules)
	_, err := c.Output()
	return named("iptables-restore", err)
}

// addSluice does what the webhook asks a kubelet to do: it runs the init container and then the sidecar, in the client's pod.
func (h *half) addSluice() error {
	if !h.sluice {
		return nil
	}
	if err := h.redirect(); err != nil {
		return err
	}
	log, err := os.Create(h.logFile())
	if err != nil {
		return err
	}
	defer log.Close()
	h.sidecar = h.client.Command(h.ctx, h.program("sidecar"), "--discovery=files", "--manifests="+h.manifests())
	h.sidecar.Stdout, h.sidecar.Stderr = log, log
	if !h.rootless {
		h.sidecar.As(proxyUser, proxyUser)
	}
	if err := h.sidecar.Start(); err != nil {
		h.sidecar = nil
		return fmt.Errorf("start the sidecar: %w", err)
	}
	ctx, cancel := context.WithTimeout(h.ctx, startTime)
	defer cancel()
	if out, err := h.client.Command(ctx, h.program("sidecar"), "wait").CombinedOutput(); err != nil {
		return fmt.Errorf("the sidecar does not start: %w: %s", err, errors.Join(errors.New(string(out)), h.log()))
	}
	return nil
}

// redirect brings the init container's rules into the client's pod. One of them exempts the proxy's user. A user namespace
// with a single user has no such one, and the kernel refuses the rule: then the init container only prints its rules, and
// they are loaded without that one. The demo does not need it, because its proxy calls pods' addresses only and these are
// not redirected.
func (h *half) redirect() error {
	args := []string{"--redirect-cidrs=" + serviceCIDR}
	if h.rootless {
		args = append(args, "--dry-run")
	}
	out, err := h.client.Command(h.ctx, h.program("initcontainer"), args...).Output()
	if err != nil || !h.rootless {
		return named("initcontainer", err)
	}
	return h.restore(h.client.Namespace, withoutOwner(string(out)))
}

// withoutOwner answers rules without those that match a user.
func withoutOwner(rules string) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		if !strings.Contains(line, "--uid-owner") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// log answers the end of the sidecar's log as an error, or nil when there is none.
func (h *half) log() error {
	const keep = 2000 // bytes
	b, err := os.ReadFile(h.logFile())
	if err != nil || len(b) == 0 {
		return nil
	}
	return fmt.Errorf("the sidecar's log ends with:\n%s", b[max(0, len(b)-keep):])
}

// close ends the processes and the network.
func (h *half) close() {
	h.cancel()
	for _, p := range h.pods {
		if p.server != nil {
			_ = p.server.Wait() // killed
		}
	}
	if h.sidecar != nil {
		_ = h.sidecar.Wait() // killed
	}
	if h.net != nil {
		_ = h.net.Close() // only closes descriptors; the kernel does the rest
	}
}
