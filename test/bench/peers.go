package main

import (
	"bytes"
	"embed"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

// mode is what a proxy is asked to do with a connection.
type mode string

const (
	requests mode = "http" // balance HTTP/1.1 requests; those of HTTP/2 are in http2.go
	opaque   mode = "tcp"  // copy bytes
)

// peer is a way from a client to the servers.
type peer struct {
	name  string
	title string
	modes []mode
	start func(s setting) (command, error) // nil: no proxy, kube-proxy's rules alone
}

// setting is what a proxy's configuration is made of.
type setting struct {
	Dir      string // its own, writable
	Programs string // directory of the built programs
	Envoy    string // path of the program
	Mode     mode
	Threads  int
	Listen   netip.AddrPort
	Backends []netip.AddrPort

	H2Backends []netip.AddrPort // of the servers' own configuration
}

// command is a program to be started.
type command struct {
	name string
	args []string
	env  []string
}

func (s setting) TCP() bool    { return s.Mode == opaque }
func (s setting) H2() bool     { return s.Mode == streams || s.Mode == calls }
func (s setting) Host() string { return s.Listen.Addr().String() }
func (s setting) Port() uint16 { return s.Listen.Port() }

// Endpoints are the backends in parts.
func (s setting) Endpoints() (e []struct{ Host, Port string }) {
	for _, b := range s.Backends {
		e = append(e, struct{ Host, Port string }{b.Addr().String(), strconv.Itoa(int(b.Port()))})
	}
	return e
}

//go:embed config
var configs embed.FS

// write makes the named configuration file from its template in config/.
func (s setting) write(name string) (path string, err error) {
	t, err := template.ParseFS(configs, "config/"+name)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return "", err
	}
	path = filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, b.Bytes(), 0o644)
}

func (s setting) program(name string) string { return filepath.Join(s.Programs, name) }

// allPeers are the ways that are compared, in the order of the tables. The first has no proxy.
func allPeers() []*peer {
	all := append([]mode{opaque}, modesOfRequests...)
	return []*peer{
		{name: direct, title: "no proxy", modes: all},
		{name: sluice, title: "Sluice", modes: all, start: startSidecar},
		{name: earlier, title: "Sluice, -against", modes: all, start: startEarlier},
		{name: haproxy, title: "HAProxy", modes: all, start: startHAProxy},
		{name: "nginx", title: "nginx", modes: modesOfRequests, start: startNginx},
		{name: "nghttpx", title: "nghttpx", modes: []mode{streams, calls}, start: startNghttpx},
		{name: "envoy", title: "Envoy", modes: all, start: startEnvoy},
		{name: "reverseproxy", title: "ReverseProxy (Go)", modes: all, start: startReverseProxy},
	}
}

// The peers that others are judged against.
const (
	direct  = "direct"
	sluice  = "sluice"
	haproxy = "haproxy"
	// earlier is another build of the sidecar, which options.against names.
	earlier = "against"
)

func startSidecar(s setting) (command, error) { return sidecar(s, "sidecar") }

func startEarlier(s setting) (command, error) { return sidecar(s, earlier) }

func sidecar(s setting, program string) (command, error) {
	return command{name: s.program(program), args: []string{"--discovery=files", "--manifests=" + s.Dir,
		"--loops=" + strconv.Itoa(s.Threads), "--proxy-port=" + strconv.Itoa(int(s.Port())), "--pprof"}}, nil
}

func startHAProxy(s setting) (command, error) {
	path, err := s.write("haproxy.cfg")
	return command{name: "haproxy", args: []string{"-db", "-q", "-f", path}}, err
}

func startNginx(s setting) (command, error) {
	path, err := s.write("nginx.conf")
	return command{name: "nginx", args: []string{"-e", filepath.Join(s.Dir, "nginx.log"), "-c", path}}, err
}

// nghttpx gets windows that large messages fit through, and adds nothing to requests, as the others do.
func startNghttpx(s setting) (command, error) {
	args := []string{"--conf=/dev/null", fmt.Sprintf("--frontend=%s,%d;no-tls", s.Host(), s.Port()), "--workers=" + strconv.Itoa(s.Threads),
		"--no-via", "--no-add-x-forwarded-proto", "--no-location-rewrite", "--errorlog-file=" + filepath.Join(s.Dir, "nghttpx.log")}
	for _, side := range []string{"frontend", "backend"} {
		args = append(args, "--"+side+"-http2-window-size=1M", "--"+side+"-http2-connection-window-size=16M")
	}
	for _, b := range s.Backends {
		args = append(args, fmt.Sprintf("--backend=%s,%d;;proto=h2", b.Addr(), b.Port()))
	}
	return command{name: "nghttpx", args: args}, nil
}

func startEnvoy(s setting) (command, error) {
	path, err := s.write("envoy.yaml")
	return command{name: s.Envoy, args: []string{"-c", path, "--concurrency", strconv.Itoa(s.Threads),
		"--disable-hot-restart", "--log-level", "error"}}, err
}

func startReverseProxy(s setting) (command, error) {
	var to []string
	for _, b := range s.Backends {
		to = append(to, b.String())
	}
	return command{name: s.program("reverseproxy"), env: []string{fmt.Sprintf("GOMAXPROCS=%d", s.Threads)},
		args: []string{"--listen=" + s.Listen.String(), "--to=" + strings.Join(to, ","), fmt.Sprintf("--tcp=%t", s.TCP()),
			fmt.Sprintf("--h2c=%t", s.H2())}}, nil
}
