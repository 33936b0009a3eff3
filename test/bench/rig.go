package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

const (
	serviceCIDR = "10.96.0.0/16"
	proxyUser   = 15301
	startTime   = 20 * time.Second // for a program to listen, on a busy machine
	blobBytes   = 128 << 20
)

var (
	listenAt  = netip.MustParseAddrPort("127.0.0.1:15301") // of every proxy
	httpVIP   = netip.MustParseAddrPort("10.96.0.10:80")
	opaqueVIP = netip.MustParseAddrPort("10.96.0.20:9000")
	backends  = []netip.Addr{netip.MustParseAddr("10.77.1.11"), netip.MustParseAddr("10.77.1.12"), netip.MustParseAddr("10.77.1.13")}
)

const (
	httpPort   = 8080 // of the backends
	opaquePort = 9000
)

// rig is a node, a pod with the servers on three addresses, and for every peer and mode a pod with the client and the
// proxy. All proxies run all the time; idle ones cost nothing that can be seen.
type rig struct {
	ctx      context.Context // of the processes
	cancel   context.CancelFunc
	dir      string // of the run: programs, configurations, logs
	envoy    string
	threads  int
	net      *meshtest.Net
	server   *meshtest.Pod
	commands []*meshtest.Cmd // servers
	ways     []*way
}

// way is a pod with a client and a peer's proxy in one mode.
type way struct {
	*peer
	mode  mode
	rig   *rig
	pod   *meshtest.Pod
	dir   string
	proxy *meshtest.Cmd // nil without a proxy
}

// openRig makes the ways of these peers in these modes.
func openRig(ctx context.Context, dir, envoy string, threads int, peers []*peer, modes []mode) (*rig, error) {
	r := &rig{dir: dir, envoy: envoy, threads: threads}
	r.ctx, r.cancel = context.WithCancel(ctx)
	var err error
	if r.net, err = meshtest.Open(); err != nil {
		return r, err
	}
	if err := r.serve(); err != nil {
		return r, err
	}
	for _, p := range peers {
		for _, m := range p.modes {
			if !slices.Contains(modes, m) {
				continue
			}
			w := &way{peer: p, mode: m, rig: r, dir: filepath.Join(dir, p.name+"-"+string(m))}
			r.ways = append(r.ways, w)
			if err := w.open(fmt.Sprintf("10.77.0.%d", 1+len(r.ways))); err != nil {
				return r, fmt.Errorf("%s (%s): %w", p.title, m, err)
			}
		}
	}
	return r, nil
}

// serve starts the servers and gives them their Services.
func (r *rig) serve() (err error) {
	var addrs []string
	for _, a := range backends {
		addrs = append(addrs, a.String())
	}
	if r.server, err = r.net.AddPod(addrs...); err != nil {
		return err
	}
	if err := widen(r.server); err != nil {
		return err
	}
	blob, err := os.Create(filepath.Join(r.dir, "blob"))
	if err != nil {
		return err
	}
	defer blob.Close()
	// Written, not only sized: a hole would be read as zeroes from nowhere.
	if _, err := io.CopyN(blob, zeroes{}, blobBytes); err != nil {
		return err
	}
	path, err := setting{Dir: r.dir, Backends: at(httpPort), H2Backends: at(streamsPort)}.write("backend.conf")
	if err != nil {
		return err
	}
	nginx := r.server.Command(r.ctx, "nginx", "-e", filepath.Join(r.dir, "backend.log"), "-c", path)
	give := r.server.Command(r.ctx, filepath.Join(r.dir, "loader"), "give", fmt.Sprintf("--listen=0.0.0.0:%d", opaquePort))
	mirror := r.server.Command(r.ctx, filepath.Join(r.dir, "loader"), "mirror", fmt.Sprintf("--listen=0.0.0.0:%d", mirrorPort),
		fmt.Sprintf("--listen2=0.0.0.0:%d", mirrorRawPort))
	for _, s := range []struct {
		port    uint16
		command *meshtest.Cmd
	}{{httpPort, nginx}, {opaquePort, give}, {callsPort, r.callsServer()}, {mirrorRawPort, mirror}} {
		port, c := s.port, s.command
		if c == nil {
			continue
		}
		c.Stderr = os.Stderr
		if err := contained(c).Start(); err != nil {
			return err
		}
		r.commands = append(r.commands, c)
		ctx, cancel := context.WithTimeout(r.ctx, startTime)
		err := r.server.WaitPort(ctx, port)
		cancel()
		if err != nil {
			return err
		}
	}
	return errors.Join(r.net.Service(httpVIP, at(httpPort)...), r.net.Service(opaqueVIP, at(opaquePort)...),
		r.net.Service(mirrorVIP, at(mirrorPort)...), r.net.Service(mirrorRawVIP, at(mirrorRawPort)...),
		r.net.Service(streamsVIP, at(streamsPort)...), r.net.Service(callsVIP, at(callsPort)...), r.serveKeyed())
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// at answers the backends' addresses with a port.
func at(port uint16) (a []netip.AddrPort) {
	for _, b := range backends {
		a = append(a, netip.AddrPortFrom(b, port))
	}
	return a
}

// widen gives a pod many local ports: thousands of short connections leave as many behind them for a minute.
func widen(p *meshtest.Pod) error {
	return p.Do(func() error {
		return errors.Join(os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("1024 65000"), 0),
			os.WriteFile("/proc/sys/net/ipv4/ip_local_reserved_ports", []byte("15301-15303"), 0),
			os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0))
	})
}

// vip is the Service that clients call.
func (w *way) vip() netip.AddrPort {
	vip, _ := w.mode.service()
	return vip
}

func (w *way) open(addr string) (err error) {
	if w.pod, err = w.rig.net.AddPod(addr); err != nil {
		return err
	}
	if err := widen(w.pod); err != nil || w.peer.start == nil {
		return err
	}
	// What the kubelet does: the init container's rules, then the proxy.
	init := w.pod.Command(w.rig.ctx, filepath.Join(w.rig.dir, "initcontainer"), "--redirect-cidrs="+serviceCIDR)
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initcontainer: %w: %s", err, out)
	}
	if err := os.Mkdir(w.dir, 0o755); err != nil {
		return err
	}
	if err := os.Chown(w.dir, proxyUser, proxyUser); err != nil {
		return err
	}
	for _, s := range append(slices.Concat(http2Services(), keyedServices(), []manifest.Service{mirrorService()}), []manifest.Service{
		{Name: "web", ClusterIPs: []netip.Addr{httpVIP.Addr()}, Ports: []manifest.Port{{Name: "http", Port: httpVIP.Port(), Target: httpPort}}},
		{Name: "bulk", ClusterIPs: []netip.Addr{opaqueVIP.Addr()}, Ports: []manifest.Port{{Name: "tcp", Port: opaqueVIP.Port(), Target: opaquePort}}},
	}...) {
		for i, b := range backends {
			s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: fmt.Sprintf("pod-%d", i), Addr: b})
		}
		if err := s.Write(w.dir); err != nil {
			return err
		}
	}
	if err := w.startProxy(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.rig.ctx, startTime)
	defer cancel()
	if err := w.pod.WaitPort(ctx, listenAt.Port()); err != nil {
		return fmt.Errorf("%w: %s", err, w.log())
	}
	return nil
}

// startProxy starts the proxy under the proxy's user, whom the rules exempt, without waiting for it.
func (w *way) startProxy() error {
	_, port := w.mode.service()
	c, err := w.peer.start(setting{Dir: w.dir, Programs: w.rig.dir, Envoy: w.rig.envoy, Mode: w.mode, Threads: w.rig.threads,
		Listen: listenAt, Backends: at(port)})
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	w.proxy = contained(w.pod.Command(w.rig.ctx, c.name, c.args...).As(proxyUser, proxyUser))
	w.proxy.Env = append(os.Environ(), c.env...)
	w.proxy.Stdout, w.proxy.Stderr = log, log
	if err := w.proxy.Start(); err != nil {
		w.proxy = nil
		return err
	}
	return nil
}

// stopProxy kills the proxy and what it has started.
func (w *way) stopProxy() error {
	if err := w.proxy.Process.Kill(); err != nil {
		return err
	}
	_ = w.proxy.Wait() // its error is that it was killed
	w.proxy = nil
	return nil
}

// contained gives a program a process namespace of its own, as a container has: when the program ends, however that comes, the
// kernel ends what it has started (nginx's workers would go on).
func contained(c *meshtest.Cmd) *meshtest.Cmd {
	if c.SysProcAttr == nil {
		c.SysProcAttr = new(syscall.SysProcAttr)
	}
	c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWPID
	return c
}

// log answers the end of the proxy's own messages.
func (w *way) log() string {
	b, err := os.ReadFile(filepath.Join(w.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-2000):]))
}

// way answers the peer's way in the mode, nil when it has none.
func (r *rig) way(p *peer, m mode) *way {
	for _, w := range r.ways {
		if w.peer == p && w.mode == m {
			return w
		}
	}
	return nil
}

// close ends all processes and removes the network.
func (r *rig) close() {
	for _, w := range r.ways {
		if w.proxy != nil {
			_ = w.stopProxy() // what is left dies with the namespace's keeper
		}
	}
	r.cancel()
	for _, c := range r.commands {
		_ = c.Wait() // killed
	}
	if r.net != nil {
		_ = r.net.Close() // only closes descriptors; the kernel does the rest
	}
}

// reloadServers makes the HTTP servers close their idle connections; their listening sockets stay. It waits until the old
// worker has ended.
func (r *rig) reloadServers() error {
	master := r.commands[0].Process
	before, err := tree(master.Pid)
	if err != nil {
		return err
	}
	if err := master.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, startTime)
	defer cancel()
	return meshtest.Poll(ctx, "the servers' old worker to end", func() (bool, error) {
		now, err := tree(master.Pid)
		replaced := len(now) == len(before)
		for _, pid := range before {
			replaced = replaced && (pid == master.Pid || !slices.Contains(now, pid))
		}
		return replaced, err
	})
}
