package main

import (
	"bytes"
	"embed"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"
)

// peer is what stands between the client and the pods.
type peer struct {
	name  string
	title string
	start func(s setting) (argv []string, err error) // nil: kube-proxy's rules alone
}

// The names that are spoken of elsewhere.
const (
	kubeProxy = "kube-proxy"
	sluice    = "sluice"
)

// allPeers are in the order of the table's columns.
func allPeers() []*peer {
	return []*peer{
		{name: kubeProxy, title: "kube-proxy alone"},
		{name: sluice, title: "Sluice", start: func(s setting) ([]string, error) {
			return []string{filepath.Join(s.Programs, "sidecar"), "--discovery=files", "--manifests=" + s.Manifests}, nil
		}},
		{name: "haproxy", title: "HAProxy", start: func(s setting) ([]string, error) {
			path, err := s.write("haproxy.cfg")
			return []string{"haproxy", "-db", "-q", "-f", path}, err
		}},
		{name: "nginx", title: "nginx", start: func(s setting) ([]string, error) {
			path, err := s.write("nginx.conf")
			return []string{"nginx", "-e", filepath.Join(s.Dir, "nginx.log"), "-c", path}, err
		}},
	}
}

// setting is what a proxy's configuration is made of.
type setting struct {
	Dir       string // writable for the proxy's user
	Programs  string // directory of the built programs
	Manifests string // directory
	Listen    netip.AddrPort
	Backends  []netip.AddrPort
	H2        bool // the client speaks HTTP/2
	GRPC      bool // and the pods, too: gRPC
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
