package main

import (
	"context"
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
	proxyPort = 15301
	proxyUID  = 15301
	// Ports of the namespaces: servers of ours and ephemeral ones. All of them are ports of the Service in the rig of that name,
	// so that a suite that listens on port 0 is reached as a Service without knowing of it.
	firstServer, lastServer       = 8080, 8099
	firstEphemeral, lastEphemeral = 20000, 23999
)

// The ways a suite is run, in the order of the table's columns.
const (
	directly   = "directly"
	copied     = "byte copy"
	throughUs  = "Sluice"
	asAService = "as a Service"
)

var columns = []string{directly, copied, throughUs, asAService}

// rig is one network namespace in which every loopback TCP connection goes through a proxy, or through none.
type rig struct {
	*meshtest.Namespace
	name string
	log  string // where the proxy logs
	pid  int    // the proxy's; 0 without one
	stop func()
	// start starts the proxy and answers how it is ended; nil without one.
	start func() (end func(), err error)
	end   func()
}

// openRig makes a rig. bin holds the sidecar and this program; dir is for logs and manifests and must be readable by the proxy's user.
func openRig(ctx context.Context, name, bin, dir string) (*rig, error) {
	ns, err := meshtest.OpenNamespace()
	if err != nil {
		return nil, err
	}
	r := &rig{Namespace: ns, name: name, log: filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".log")}
	r.stop = func() {
		if r.end != nil {
			r.end()
		}
		ns.Close()
	}
	err = r.script(ctx, fmt.Sprintf("sysctl -qw net.ipv4.ip_local_port_range='%d %d' net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.lo.disable_ipv6=0",
		firstEphemeral, lastEphemeral))
	if err == nil && name != directly {
		err = r.redirect(ctx)
		r.start = func() (func(), error) { return r.startProxy(ctx, bin, dir) }
	}
	if err == nil {
		err = r.renew()
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("rig %q: %w", name, err)
	}
	return r, nil
}

// renew starts the proxy, in the place of the one that runs: what it has learned of a port must not be held against who has the
// same port later.
func (r *rig) renew() (err error) {
	if r.start == nil {
		return nil
	}
	if r.end != nil {
		r.end()
	}
	r.end, err = r.start()
	return err
}

func (r *rig) redirect(ctx context.Context) error {
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, rule := range []string{
			fmt.Sprintf("-m owner --uid-owner %d -j RETURN", proxyUID),
			fmt.Sprintf("-o lo --dport %d -j RETURN", proxyPort),
			fmt.Sprintf("-o lo -j REDIRECT --to-ports %d", proxyPort),
		} {
			if err := r.script(ctx, tool+" -w -t nat -A OUTPUT -p tcp "+rule); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *rig) startProxy(ctx context.Context, bin, dir string) (end func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		if end == nil {
			cancel()
		}
	}()
	manifests := filepath.Join(dir, strings.ReplaceAll(r.name, " ", "-"))
	if err := os.MkdirAll(manifests, 0o755); err != nil {
		return nil, err
	}
	argv := []string{filepath.Join(bin, "sidecar"), "--discovery=files", "--manifests=" + manifests, "--unknown-destinations=proxy"}
	switch r.name {
	case copied:
		argv = []string{filepath.Join(bin, "conformance"), "copy"}
	case asAService:
		for _, s := range []manifest.Service{everything(), declared(), several(), aged()} {
			if err := s.Write(manifests); err != nil {
				return nil, err
			}
		}
	}
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := r.Command(ctx, argv[0], argv[1:]...).As(proxyUID, proxyUID)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.pid = cmd.Process.Pid
	end = func() {
		cancel()
		cmd.Wait()
	}
	ready, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	return end, r.WaitPort(ready, proxyPort)
}

// everything is a Service whose cluster IPs are the loopback addresses.
func everything() manifest.Service {
	s := manifest.Service{Name: "everything", ClusterIPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}
	for _, span := range [][2]uint16{{firstServer, lastServer}, {firstEphemeral, lastEphemeral}} {
		for p := span[0]; p <= span[1]; p++ {
			s.Ports = append(s.Ports, manifest.Port{Name: fmt.Sprintf("p%d", p), Port: p, Target: p})
		}
	}
	for i, a := range s.ClusterIPs {
		s.Endpoints = append(s.Endpoints, manifest.Endpoint{Pod: fmt.Sprintf("pod-%d", i), Addr: a})
	}
	return s
}

func (r *rig) script(ctx context.Context, line string) error {
	out, err := r.Command(ctx, "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; "+line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}
