package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// view is a watcher that is behind by a time of its own: an API server (of a caBundle) or a replica (of the leaf).
type view[T any] struct {
	lag     time.Duration
	now     T
	last    T // told
	pending []pending[T]
}

type pending[T any] struct {
	at    time.Time
	value T
}

func (v *view[T]) tell(now time.Time, value T) {
	if !reflect.DeepEqual(value, v.last) {
		v.last, v.pending = value, append(v.pending, pending[T]{now.Add(v.lag), value})
	}
}

// next answers when the next change arrives.
func (v *view[T]) next() (time.Time, bool) {
	if len(v.pending) == 0 {
		return time.Time{}, false
	}
	return v.pending[0].at, true
}

func (v *view[T]) arrive(now time.Time) {
	for len(v.pending) > 0 && !v.pending[0].at.After(now) {
		v.now, v.pending = v.pending[0].value, v.pending[1:]
	}
}

// world runs the controller against API servers and replicas that each see changes late.
type world struct {
	*testing.T
	client     client.Client
	controller *Controller
	now        time.Time
	servers    []*view[[]byte]
	replicas   []*view[*x509.Certificate]
	checks     int
	leaves     map[string]bool
}

func newWorld(t *testing.T) *world {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	call := admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{Namespace: "sluice-system", Name: "sluice-webhook"}}
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	mutating.Name = "sluice-webhook"
	mutating.Webhooks = []admissionregistrationv1.MutatingWebhook{{Name: "pods.sluice.mesh", ClientConfig: call}}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	validating.Name = "sluice-webhook"
	validating.Webhooks = []admissionregistrationv1.ValidatingWebhook{{Name: "services.sluice.mesh", ClientConfig: call},
		{Name: "configmaps.sluice.mesh", ClientConfig: call}}
	w := &world{T: t, now: epoch, leaves: map[string]bool{},
		client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(mutating, validating).Build()}
	w.elect()
	return w
}

// elect starts a new leader, which remembers nothing.
func (w *world) elect() {
	w.controller = &Controller{Client: w.client, Secret: types.NamespacedName{Namespace: "sluice-system", Name: "certificates"},
		Service: types.NamespacedName{Namespace: "sluice-system", Name: "sluice-webhook"}, Configuration: "sluice-webhook",
		Policy: policy, Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// settleDown reconciles until there is nothing to do at this moment, and answers when there will be.
func (w *world) settleDown() time.Duration {
	w.Helper()
	for range 20 {
		result, err := w.controller.Reconcile(context.Background(), reconcile.Request{})
		if err != nil {
			w.Fatal(err)
		}
		w.publish()
		if result.RequeueAfter > time.Millisecond {
			// A watch event would come after the last write: the controller sees what it has written.
			if result, err = w.controller.Reconcile(context.Background(), reconcile.Request{}); err != nil {
				w.Fatal(err)
			}
			w.publish()
			if result.RequeueAfter > time.Millisecond {
				return result.RequeueAfter
			}
		}
	}
	w.Fatal("the controller does not settle")
	return 0
}

func (w *world) publish() {
	w.Helper()
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := w.client.Get(context.Background(), types.NamespacedName{Name: "sluice-webhook"}, mutating); err != nil {
		w.Fatal(err)
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := w.client.Get(context.Background(), types.NamespacedName{Name: "sluice-webhook"}, validating); err != nil {
		w.Fatal(err)
	}
	for _, v := range validating.Webhooks {
		if !bytes.Equal(v.ClientConfig.CABundle, mutating.Webhooks[0].ClientConfig.CABundle) {
			w.Fatalf("%s has another caBundle than pods.sluice.mesh", v.Name)
		}
	}
	for _, s := range w.servers {
		s.tell(w.now, mutating.Webhooks[0].ClientConfig.CABundle)
	}
	if state, _ := parse(w.secret().Data, nil); state.Leaf != nil {
		w.leaves[string(state.Leaf.Cert.Raw)] = true
		for _, r := range w.replicas {
			r.tell(w.now, state.Leaf.Cert)
		}
	}
}

func (w *world) secret() *corev1.Secret {
	secret := &corev1.Secret{}
	if err := w.client.Get(context.Background(), w.controller.Secret, secret); client.IgnoreNotFound(err) != nil {
		w.Fatal(err)
	}
	return secret
}

// advance lets time pass, and checks after every change that arrives.
func (w *world) advance(d time.Duration) {
	w.Helper()
	for until := w.now.Add(d); w.now.Before(until); {
		next := until
		for _, s := range w.servers {
			if at, ok := s.next(); ok && at.Before(next) {
				next = at
			}
		}
		for _, r := range w.replicas {
			if at, ok := r.next(); ok && at.Before(next) {
				next = at
			}
		}
		w.now = next
		for _, s := range w.servers {
			s.arrive(next)
		}
		for _, r := range w.replicas {
			r.arrive(next)
		}
		w.check()
	}
}

// check lets every API server call every replica.
func (w *world) check() {
	w.Helper()
	for i, s := range w.servers {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.now)
		for j, r := range w.replicas {
			if r.now == nil {
				continue // has never had a certificate: not ready, and not called
			}
			w.checks++
			_, err := r.now.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: w.now, DNSName: "sluice-webhook.sluice-system.svc"})
			if err != nil {
				w.Fatalf("%v after the beginning, API server %d does not trust replica %d: %v", w.now.Sub(epoch), i, j, err)
			}
		}
	}
}

// TestOverlap lets a year pass with rotations, requests for more, lost Secrets and changing leaders, and with API
// servers and replicas that see changes late, and never lets an API server meet a certificate that it does not trust.
func TestOverlap(t *testing.T) {
	for seed := range uint64(2) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		w.settleDown() // installed; API servers and replicas come up after it
		for _, lag := range []time.Duration{0, 3 * time.Second, 25 * time.Second} {
			w.servers = append(w.servers, &view[[]byte]{lag: lag})
		}
		// The last one's watch is broken for days at a time; less than a third of a leaf's life, which is 10.
		for _, lag := range []time.Duration{0, time.Minute, 9 * day} {
			w.replicas = append(w.replicas, &view[*x509.Certificate]{lag: lag})
		}
		w.publish()
		for _, s := range w.servers {
			s.arrive(w.now.Add(s.lag))
		}
		for _, r := range w.replicas {
			r.arrive(w.now.Add(r.lag))
		}
		for w.now.Before(epoch.Add(365 * day)) {
			switch random.IntN(60) {
			case 0:
				secret := w.secret()
				secret.Annotations = map[string]string{RotateAnnotation: "now"}
				if err := w.client.Update(context.Background(), secret); client.IgnoreNotFound(err) != nil {
					t.Fatal(err)
				}
			case 1:
				if err := w.client.Delete(context.Background(), w.secret()); err != nil {
					t.Fatal(err)
				}
			case 2:
				w.elect()
			case 3: // somebody breaks the CA's key
				secret := w.secret()
				secret.Data[caKey] = []byte("?")
				if err := w.client.Update(context.Background(), secret); err != nil {
					t.Fatal(err)
				}
			}
			again := w.settleDown()
			// Mostly from one thing to do to the next; sometimes something happens before.
			w.advance(min(again, []time.Duration{20 * time.Second, day, day, day, day, day}[random.IntN(6)]))
		}
		if len(w.leaves) < 365/20 || w.checks < 2000 {
			t.Errorf("seed %d: %d leaves in a year, %d checks: the test tests little", seed, len(w.leaves), w.checks)
		}
		t.Logf("seed %d: %d leaves, %d checks, %d CAs in the end", seed, len(w.leaves), w.checks,
			len(parseBundle(w.servers[0].now)))
	}
}
