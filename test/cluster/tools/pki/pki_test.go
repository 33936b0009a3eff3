package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func made(t *testing.T) settings {
	t.Helper()
	s := settings{dir: t.TempDir(), node: "node1", nodeIP: "10.213.0.2", serviceIP: "10.96.0.1", domain: "cluster.local"}
	if err := run(s, ""); err != nil {
		t.Fatal(err)
	}
	return s
}

func leaf(t *testing.T, dir, file string) *x509.Certificate {
	t.Helper()
	path := filepath.Join(dir, file)
	c, err := tls.LoadX509KeyPair(path+".crt", path+".key")
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf
}

func roots(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("ca.crt holds no certificate")
	}
	return pool
}

func TestServerCertificatesAreGoodForTheirNames(t *testing.T) {
	s := made(t)
	more := s
	more.sans = []string{"webhook.sluice-system.svc", "10.213.0.1"}
	if err := run(more, "webhook"); err != nil {
		t.Fatal(err)
	}
	for file, names := range map[string][]string{
		"apiserver":      {"kubernetes.default.svc", "10.96.0.1", "10.213.0.2", "127.0.0.1"},
		"kubelet-server": {"node1", "10.213.0.2"},
		"webhook":        {"webhook.sluice-system.svc", "10.213.0.1"},
	} {
		for _, name := range names {
			_, err := leaf(t, s.dir, file).Verify(x509.VerifyOptions{DNSName: name, Roots: roots(t, s.dir)})
			if err != nil {
				t.Errorf("%s as %s: %v", file, name, err)
			}
		}
	}
}

func TestKubeconfigCarriesUserAndGroup(t *testing.T) {
	s := made(t)
	if g := leaf(t, s.dir, "kubelet").Subject.Organization; !slices.Contains(g, "system:nodes") {
		t.Errorf("the kubelet's groups are %q, want system:nodes", g)
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "admin.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Clusters []struct {
			Cluster struct {
				Server string
				CA     []byte `json:"certificate-authority-data"`
			}
		}
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			}
		}
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Clusters[0].Cluster.Server, "https://10.213.0.2:6443"; got != want {
		t.Errorf("server %s, want %s", got, want)
	}
	if _, err := tls.X509KeyPair(c.Users[0].User.Cert, c.Users[0].User.Key); err != nil {
		t.Errorf("the admin's certificate and key: %v", err)
	}
}

func TestMissingSettingsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		s    settings
		only string
		want string
	}{
		"no directory":                {settings{}, "", "-dir is needed"},
		"no addresses":                {settings{dir: t.TempDir()}, "", "-node-ip and -service-ip are needed"},
		"one certificate and no name": {settings{dir: t.TempDir()}, "x", "-only needs at least one -san"},
	} {
		if err := run(c.s, c.only); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
