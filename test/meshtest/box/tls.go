package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// selfSigned makes a certificate for names separated by commas.
func selfSigned(names string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	list := strings.Split(names, ",")
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: list[0]}, DNSNames: list,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func describeTLS(c *tls.ConnectionState, certSHA256 string) *tlsDescription {
	return &tlsDescription{ServerName: c.ServerName, Version: tls.VersionName(c.Version),
		ALPN: c.NegotiatedProtocol, CertSHA256: certSHA256}
}

// tlsResult is what "box tls" prints: the certificate as the client saw it, and
// the server's answer, which tells the same from the other side.
type tlsResult struct {
	tlsDescription
	Subject   string   `json:"subject"`
	Names     []string `json:"names"`
	ConnectMS float64  `json:"connectMs"` // TCP and TLS handshake
	Status    int      `json:"status"`
	Body      string   `json:"body"`
	Error     string   `json:"error,omitempty"`
}

func tlsClient(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("tls", flag.ContinueOnError)
	name := fs.String("servername", "box.test", "SNI to send")
	path := fs.String("path", "/", "path to GET")
	alpn := fs.String("alpn", "", "protocols to offer, with commas; http/1.1 is spoken whatever is agreed")
	timeout := fs.Duration("timeout", 10*time.Second, "for all of it")
	if err := parse(fs, args, 1); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	cfg := &tls.Config{ServerName: *name, InsecureSkipVerify: true}
	if *alpn != "" {
		cfg.NextProtos = strings.Split(*alpn, ",")
	}
	r, err := tlsExchange(ctx, fs.Arg(0), cfg, *path)
	if err != nil {
		r.Error = err.Error()
	}
	return errors.Join(printJSON(out, r), err)
}

func tlsExchange(ctx context.Context, addr string, cfg *tls.Config, path string) (r tlsResult, err error) {
	start := time.Now()
	dialer := tls.Dialer{Config: cfg}
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return r, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })()
	r.ConnectMS = ms(time.Since(start))
	state := raw.(*tls.Conn).ConnectionState()
	leaf := state.PeerCertificates[0]
	r.tlsDescription = *describeTLS(&state, fingerprint(leaf.Raw))
	r.Subject, r.Names = leaf.Subject.CommonName, leaf.DNSNames
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+path, nil)
	if err != nil {
		return r, err
	}
	req.Close = true
	if err := req.Write(raw); err != nil {
		return r, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(raw), req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	body, err := io.ReadAll(resp.Body)
	r.Body = string(body)
	return r, err
}
