package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// State is what the Secret holds. Its parts may each be absent; Pairs are immutable.
type State struct {
	Current *Pair     // the CA that signs
	Next    *Pair     // the CA that will
	Former  []Trusted // CAs that no longer do
	Leaf    *Pair     // what replicas serve
	Rotate  bool      // somebody asks for a rotation
}

// Trusted is a CA that API servers have to trust for some time more.
type Trusted struct {
	Cert  *x509.Certificate
	Until time.Time
}

// The keys of the Secret. ca.crt is the signing CA alone; caBundles have all.
const (
	leafCert, leafKey = "tls.crt", "tls.key"
	caCert, caKey     = "ca.crt", "ca.key"
	nextCert, nextKey = "next-ca.crt", "next-ca.key"
	formerCerts       = "former-ca.crt"
)

// RotateAnnotation on the Secret asks for a rotation.
const RotateAnnotation = "sluice.mesh/rotate"

// trustedUntil is the PEM header of former CAs.
const trustedUntil = "Trusted-Until"

// parse reads a Secret. What it cannot read it leaves out, as if it were absent, and says so in the error; the state is
// good all the same.
func parse(data map[string][]byte, annotations map[string]string) (State, error) {
	var s State
	var errs [4]error
	s.Current, errs[0] = parsePair(data[caCert], data[caKey])
	s.Next, errs[1] = parsePair(data[nextCert], data[nextKey])
	s.Leaf, errs[2] = parsePair(data[leafCert], data[leafKey])
	s.Former, errs[3] = parseFormer(data[formerCerts])
	for i, name := range []string{caCert, nextCert, leafCert, formerCerts} {
		if errs[i] != nil {
			errs[i] = fmt.Errorf("key %s: %w", name, errs[i])
		}
	}
	_, s.Rotate = annotations[RotateAnnotation]
	return s, errors.Join(errs[:]...)
}

func parseFormer(data []byte) (list []Trusted, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err1 := x509.ParseCertificate(block.Bytes)
		until, err2 := time.Parse(time.RFC3339, block.Headers[trustedUntil])
		if err = errors.Join(err, err1, err2); err1 == nil && err2 == nil {
			list = append(list, Trusted{cert, until})
		}
	}
	return list, err
}

// data is the contrary of parse.
func (s State) data() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, p := range []struct {
		pair      *Pair
		cert, key string
	}{{s.Current, caCert, caKey}, {s.Next, nextCert, nextKey}, {s.Leaf, leafCert, leafKey}} {
		if p.pair == nil {
			continue
		}
		key, err := encodeKey(p.pair.Key)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", p.key, err)
		}
		out[p.cert], out[p.key] = encodeCert(p.pair.Cert), key
	}
	if len(s.Former) > 0 {
		var b bytes.Buffer
		for _, f := range s.Former {
			// Writing to memory does not fail, and the header is our own.
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: f.Cert.Raw,
				Headers: map[string]string{trustedUntil: f.Until.UTC().Format(time.RFC3339)}})
		}
		out[formerCerts] = b.Bytes()
	}
	return out, nil
}

// trusted answers all CAs that belong into the caBundles, the signing one first.
func (s State) trusted() []*x509.Certificate {
	var list []*x509.Certificate
	if s.Current != nil {
		list = append(list, s.Current.Cert)
	}
	if s.Next != nil {
		list = append(list, s.Next.Cert)
	}
	for _, f := range s.Former {
		list = append(list, f.Cert)
	}
	return list
}

// Bundle answers the caBundle, PEM.
func (s State) Bundle() []byte {
	var b bytes.Buffer
	for _, cert := range s.trusted() {
		b.Write(encodeCert(cert))
	}
	return b.Bytes()
}

// parseBundle answers the certificates of a caBundle, leaving out what is none.
func parseBundle(data []byte) (list []*x509.Certificate) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, cert)
		}
	}
	return list
}
