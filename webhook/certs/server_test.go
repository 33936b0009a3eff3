package certs

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestServerKeepsServing(t *testing.T) {
	secret := &corev1.Secret{}
	secret.Namespace, secret.Name = "sluice-system", "certs"
	c := fake.NewClientBuilder().WithObjects(secret).Build()
	server := NewServer(c, prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	now := time.Now()
	ca, err := newCA(policy.Names, now, day)
	if err != nil {
		t.Fatal(err)
	}
	first, err := newLeaf(ca, policy.Names, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	second, err := newLeaf(ca, policy.Names, now, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	expired, err := newLeaf(ca, policy.Names, now.Add(-2*time.Hour), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name  string
		state State
		serve *Pair
		ready bool
	}{
		{"an empty Secret", State{}, nil, false},
		{"a CA without a leaf", State{Current: ca}, nil, false},
		{"a leaf", State{Current: ca, Leaf: first}, first, true},
		{"the leaf is lost, and the one we have goes on", State{Next: ca}, first, true},
		{"another leaf", State{Current: ca, Leaf: second}, second, true},
		{"a leaf that is over", State{Current: ca, Leaf: expired}, expired, false},
	} {
		if secret.Data, err = step.state.data(); err != nil {
			t.Fatal(err)
		}
		if err := c.Update(context.Background(), secret); err != nil {
			t.Fatal(err)
		}
		key := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
		if _, err := server.Reconcile(context.Background(), reconcile.Request{NamespacedName: key}); err != nil {
			t.Fatal(err)
		}
		got, err := server.GetCertificate(nil)
		if (step.serve == nil) != (err != nil) || err == nil && !got.Leaf.Equal(step.serve.Cert) {
			t.Errorf("%s: %v, %v", step.name, got, err)
		}
		if err := server.Ready(); (err == nil) != step.ready {
			t.Errorf("%s: ready: %v", step.name, err)
		}
	}
	// Deleting the Secret changes nothing either.
	if err := c.Delete(context.Background(), secret); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Reconcile(context.Background(), reconcile.Request{NamespacedName: types.NamespacedName{
		Namespace: secret.Namespace, Name: secret.Name}}); err != nil {
		t.Fatal(err)
	}
	if _, err := server.GetCertificate(nil); err != nil {
		t.Error(err)
	}
}
