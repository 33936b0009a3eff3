package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate: a test cluster is thrown away long before.
const lifetime = 365 * 24 * time.Hour

// An authority signs certificates and writes them beside its own.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// A pair is a certificate with its key, both PEM.
type pair struct{ cert, key []byte }

func newAuthority(dir, file, name string) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	t, err := template(name, nil)
	if err != nil {
		return authority{}, err
	}
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a := authority{dir: dir, key: key}
	if a.pem, a.cert, err = sign(t, t, key, key); err != nil {
		return authority{}, err
	}
	_, err = a.write(file, a.pem, key)
	return a, err
}

func loadAuthority(dir, file string) (authority, error) {
	a := authority{dir: dir}
	var err error
	path := filepath.Join(dir, file)
	if a.pem, err = os.ReadFile(path + ".crt"); err != nil {
		return a, err
	}
	block, _ := pem.Decode(a.pem)
	if block == nil {
		return a, fmt.Errorf("%s.crt: no PEM block", path)
	}
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return a, fmt.Errorf("%s.crt: %w", path, err)
	}
	key, err := os.ReadFile(path + ".key")
	if err != nil {
		return a, err
	}
	if block, _ = pem.Decode(key); block == nil {
		return a, fmt.Errorf("%s.key: no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return a, fmt.Errorf("%s.key: %w", path, err)
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return a, fmt.Errorf("%s.key: a %T, want an ECDSA key", path, parsed)
	}
	a.key = k
	return a, nil
}

// issue writes FILE.crt and FILE.key: a client's certificate, and a server's
// too when it has names or addresses.
func (a authority) issue(file, name string, groups, sans []string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	t, err := template(name, groups)
	if err != nil {
		return pair{}, err
	}
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, s := range sans {
		if ip := net.ParseIP(s); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, s)
		}
	}
	if len(sans) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	cert, _, err := sign(t, a.cert, key, a.key)
	if err != nil {
		return pair{}, err
	}
	return a.write(file, cert, key)
}

// kubeconfig issues a client certificate and writes FILE.conf around it, as
// JSON, which every reader of kubeconfigs takes.
func (a authority) kubeconfig(file, server, name, group string) error {
	var groups []string
	if group != "" {
		groups = []string{group}
	}
	p, err := a.issue(file, name, groups, nil)
	if err != nil {
		return err
	}
	type named map[string]any
	const cluster = "sluice-test"
	out, err := json.MarshalIndent(named{
		"apiVersion": "v1", "kind": "Config", "current-context": cluster,
		"clusters": []named{{"name": cluster, "cluster": named{
			"server": server, "certificate-authority-data": a.pem}}},
		"users": []named{{"name": file, "user": named{
			"client-certificate-data": p.cert, "client-key-data": p.key}}},
		"contexts": []named{{"name": cluster, "context": named{"cluster": cluster, "user": file}}},
	}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, file+".conf"), append(out, '\n'), 0o600)
}

func (a authority) write(file string, cert []byte, key *ecdsa.PrivateKey) (pair, error) {
	k, err := keyPEM(key)
	if err != nil {
		return pair{}, err
	}
	path := filepath.Join(a.dir, file)
	if err := os.WriteFile(path+".crt", cert, 0o644); err != nil {
		return pair{}, err
	}
	return pair{cert, k}, os.WriteFile(path+".key", k, 0o600)
}

// serviceAccountKey writes the pair that signs service account tokens.
func serviceAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := keyPEM(key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "sa.key"), private, 0o600); err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return os.WriteFile(filepath.Join(dir, "sa.pub"), public, 0o644)
}

func template(name string, groups []string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: groups},
		NotBefore:    now.Add(-time.Hour), // clocks of the two sides need not agree
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}, nil
}

func sign(t, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) ([]byte, *x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate of %s: %w", t.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, nil
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
