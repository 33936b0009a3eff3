// Command pki writes every key, certificate and kubeconfig that a one-node
// cluster needs into a directory.
//
//	pki -dir D -node node1 -node-ip 10.213.0.2 -service-ip 10.96.0.1
//	pki -dir D -only NAME -san NAME-OR-ADDRESS ...
//
// The second form issues one more server certificate (D/NAME.crt, D/NAME.key)
// from the authority that is already there; tests give it to their webhooks.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

func main() {
	var s settings
	flag.StringVar(&s.dir, "dir", "", "directory to write to, made when missing")
	flag.StringVar(&s.node, "node", "node1", "name of the node")
	flag.StringVar(&s.nodeIP, "node-ip", "", "address of the node")
	flag.StringVar(&s.serviceIP, "service-ip", "", "address of the Service kubernetes")
	flag.StringVar(&s.domain, "domain", "cluster.local", "the cluster's DNS domain")
	flag.Var((*list)(&s.sans), "san", "one more name or address of the server certificate (repeatable)")
	only := flag.String("only", "", "issue one server certificate with this file name, and nothing else")
	flag.Parse()
	err := run(s, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pki:", err)
		os.Exit(1)
	}
}

type settings struct {
	dir, node, nodeIP, serviceIP, domain string
	sans                                 []string
}

func run(s settings, only string) error {
	if s.dir == "" {
		return errors.New("-dir is needed")
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if only != "" {
		return s.one(only)
	}
	if s.nodeIP == "" || s.serviceIP == "" {
		return errors.New("-node-ip and -service-ip are needed")
	}
	return s.all()
}

func (s settings) one(name string) error {
	if len(s.sans) == 0 {
		return errors.New("-only needs at least one -san")
	}
	a, err := loadAuthority(s.dir, "ca")
	if err != nil {
		return err
	}
	_, err = a.issue(name, s.sans[0], nil, s.sans)
	return err
}

func (s settings) all() error {
	a, err := newAuthority(s.dir, "ca", "sluice-test-cluster")
	if err != nil {
		return err
	}
	front, err := newAuthority(s.dir, "front-proxy-ca", "sluice-test-cluster-front-proxy")
	if err != nil {
		return err
	}
	apiServer := append([]string{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + s.domain, "localhost", s.node, "127.0.0.1", s.nodeIP, s.serviceIP}, s.sans...)
	for _, c := range []struct {
		from       authority
		file, name string
		groups     []string
		sans       []string
	}{
		{front, "front-proxy-client", "front-proxy-client", nil, nil},
		{a, "apiserver", "kube-apiserver", nil, apiServer},
		{a, "apiserver-kubelet-client", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil},
		{a, "kubelet-server", "system:node:" + s.node, []string{"system:nodes"}, []string{s.node, s.nodeIP}},
	} {
		if _, err := c.from.issue(c.file, c.name, c.groups, c.sans); err != nil {
			return err
		}
	}
	server := "https://" + s.nodeIP + ":6443"
	for _, c := range []struct{ file, name, group string }{
		{"admin", "test-admin", "system:masters"},
		{"controller-manager", "system:kube-controller-manager", ""},
		{"scheduler", "system:kube-scheduler", ""},
		{"kube-proxy", "system:kube-proxy", ""},
		{"kubelet", "system:node:" + s.node, "system:nodes"},
	} {
		if err := a.kubeconfig(c.file, server, c.name, c.group); err != nil {
			return err
		}
	}
	return serviceAccountKey(s.dir)
}
