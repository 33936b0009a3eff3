package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Server holds the certificate that this replica serves, and follows the Secret. It is safe for concurrent use.
type Server struct {
	secrets client.Reader
	log     *slog.Logger
	expiry  *prometheus.GaugeVec
	leaf    atomic.Pointer[tls.Certificate]
}

// NewServer makes a server that has no certificate yet; secrets is a reader of the Secret, typically a cache.
func NewServer(secrets client.Reader, registry prometheus.Registerer, log *slog.Logger) *Server {
	s := &Server{secrets: secrets, log: log, expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sluice_webhook_certificate_not_after_seconds",
		Help: "When a certificate expires, in seconds since 1970: leaf is what this replica serves, ca what signs.",
	}, []string{"certificate"})}
	registry.MustRegister(s.expiry)
	return s
}

// Reconcile takes over what the Secret has now. Where that is nothing, or no good, the certificate there was stays.
func (s *Server) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var secret corev1.Secret
	if err := s.secrets.Get(ctx, req.NamespacedName, &secret); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	state, err := parse(secret.Data, nil)
	if err != nil {
		s.log.Error("Secret of the certificates", "secret", req.String(), "error", err)
	}
	if state.Current != nil {
		s.expiry.WithLabelValues("ca").Set(float64(state.Current.Cert.NotAfter.Unix()))
	}
	if state.Leaf != nil {
		s.serve(state.Leaf)
	}
	return reconcile.Result{}, nil
}

func (s *Server) serve(leaf *Pair) {
	if old := s.leaf.Load(); old != nil && old.Leaf.Equal(leaf.Cert) {
		return
	}
	s.leaf.Store(&tls.Certificate{Certificate: [][]byte{leaf.Cert.Raw}, PrivateKey: leaf.Key, Leaf: leaf.Cert})
	s.expiry.WithLabelValues("leaf").Set(float64(leaf.Cert.NotAfter.Unix()))
	s.log.Info("serving certificate", "serial", leaf.Cert.SerialNumber.Text(16), "issuer", leaf.Cert.Issuer.CommonName,
		"notAfter", leaf.Cert.NotAfter)
}

// GetCertificate is for tls.Config.
func (s *Server) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if leaf := s.leaf.Load(); leaf != nil {
		return leaf, nil
	}
	return nil, errors.New("no serving certificate yet")
}

// Ready answers nil when there is a certificate that has not expired.
func (s *Server) Ready() error {
	leaf, err := s.GetCertificate(nil)
	if err != nil {
		return err
	}
	if notAfter := leaf.Leaf.NotAfter; time.Now().After(notAfter) {
		return fmt.Errorf("the serving certificate expired at %v", notAfter)
	}
	return nil
}
