package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Controller keeps the Secret and the caBundles. One at a time may run in a cluster (the leader); if two do, the Secret's
// resourceVersion lets one of them win. Reconcile must not be called concurrently.
type Controller struct {
	// Client writes; it reads past any cache, because acting on an old Secret could bring back an old CA.
	Client        client.Client
	Secret        types.NamespacedName
	Service       types.NamespacedName // webhooks that call it get the caBundle
	Configuration string               // name of both webhook configurations
	Policy        Policy
	Now           func() time.Time
	Log           *slog.Logger

	// since is when a CA, by its DER, was first seen in all caBundles, without a break.
	since map[string]time.Time
}

// lookAgain bounds the time between two looks, watches or not.
const lookAgain = 24 * time.Hour

// Reconcile does what Decide says; the request's name does not matter.
func (c *Controller) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	bundles, err := c.bundles(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	secret, state, err := c.read(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := c.Now()
	if state.Current == nil {
		for _, b := range bundles {
			state = state.inherit(parseBundle(b.get()), c.Policy, now)
		}
	}
	c.observe(state, bundles, now)
	published := func(cert *x509.Certificate) time.Duration {
		if first, ok := c.since[string(cert.Raw)]; ok {
			return now.Sub(first)
		}
		return -1
	}
	steps, again := Decide(state, published, c.Policy, now)
	for _, step := range steps {
		if state, err = state.apply(step, c.Policy, now); err != nil {
			return reconcile.Result{}, fmt.Errorf("certificates: %s: %w", step, err)
		}
		c.Log.Info("certificates", "step", step.String())
	}
	if len(steps) > 0 {
		if err := c.write(ctx, secret, state); err != nil {
			return reconcile.Result{}, err
		}
		again = time.Millisecond // there may be more to do; not 0, which means never
	}
	for _, b := range bundles {
		if err := c.publish(ctx, b, state); err != nil {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{RequeueAfter: min(again, lookAgain)}, nil
}

// read answers the Secret, empty where there is none.
func (c *Controller) read(ctx context.Context) (*corev1.Secret, State, error) {
	secret := &corev1.Secret{}
	err := c.Client.Get(ctx, c.Secret, secret)
	if apierrors.IsNotFound(err) {
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: c.Secret.Namespace, Name: c.Secret.Name,
			Labels: map[string]string{"app.kubernetes.io/part-of": "sluice"}}
		return secret, State{}, nil
	}
	if err != nil {
		return nil, State{}, fmt.Errorf("secret %s: %w", c.Secret, err)
	}
	state, err := parse(secret.Data, secret.Annotations)
	if err != nil {
		c.Log.Error("Secret of the certificates; what cannot be read is made anew", "secret", c.Secret.String(), "error", err)
	}
	return secret, state, nil
}

func (c *Controller) write(ctx context.Context, secret *corev1.Secret, state State) error {
	data, err := state.data()
	if err != nil {
		return fmt.Errorf("secret %s: %w", c.Secret, err)
	}
	secret.Data = data
	if !state.Rotate {
		secret.Annotations = maps.Clone(secret.Annotations)
		delete(secret.Annotations, RotateAnnotation)
	}
	if secret.ResourceVersion == "" {
		err = c.Client.Create(ctx, secret)
	} else {
		err = c.Client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("secret %s: %w", c.Secret, err)
	}
	return nil
}

// observe keeps the books of which CAs are in every caBundle.
func (c *Controller) observe(state State, bundles []bundle, now time.Time) {
	old := c.since
	c.since = map[string]time.Time{}
	for _, cert := range state.trusted() {
		missing := slices.ContainsFunc(bundles, func(b bundle) bool {
			return slices.ContainsFunc(b.slots, func(slot *[]byte) bool {
				return !slices.ContainsFunc(parseBundle(*slot), cert.Equal)
			})
		})
		if missing {
			continue
		}
		first, ok := old[string(cert.Raw)]
		if !ok {
			first = now
		}
		c.since[string(cert.Raw)] = first
	}
}

// bundle is one webhook configuration: the caBundle of each of its webhooks that call us.
type bundle struct {
	object client.Object
	slots  []*[]byte
}

// get answers all its certificates.
func (b bundle) get() []byte {
	var all []byte
	for _, slot := range b.slots {
		all = append(append(all, *slot...), '\n')
	}
	return all
}

// bundles reads the webhook configurations. One that does not exist is not asked by any API server, and so left out.
func (c *Controller) bundles(ctx context.Context) ([]bundle, error) {
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	var list []bundle
	var errs []error
	for _, object := range []client.Object{mutating, validating} {
		switch err := c.Client.Get(ctx, types.NamespacedName{Name: c.Configuration}, object); {
		case apierrors.IsNotFound(err):
			c.Log.Warn("webhook configuration is missing", "kind", fmt.Sprintf("%T", object), "name", c.Configuration)
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("%T %s: %w", object, c.Configuration, err))
			continue
		}
		list = append(list, bundle{object: object})
	}
	for i := range list {
		add := func(config *admissionregistrationv1.WebhookClientConfig) {
			if s := config.Service; s != nil && s.Name == c.Service.Name && s.Namespace == c.Service.Namespace {
				list[i].slots = append(list[i].slots, &config.CABundle)
			}
		}
		switch list[i].object {
		case mutating:
			for j := range mutating.Webhooks {
				add(&mutating.Webhooks[j].ClientConfig)
			}
		case validating:
			for j := range validating.Webhooks {
				add(&validating.Webhooks[j].ClientConfig)
			}
		}
	}
	return list, errors.Join(errs...)
}

// publish writes only what it changes, by the webhooks' names: other fields, ones it may not know included, stay.
func (c *Controller) publish(ctx context.Context, b bundle, state State) error {
	want := state.Bundle()
	before := b.object.DeepCopyObject().(client.Object)
	changed := false
	for _, slot := range b.slots {
		if !bytes.Equal(*slot, want) {
			*slot, changed = want, true
		}
	}
	if !changed {
		return nil
	}
	patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, b.object, patch); err != nil {
		return fmt.Errorf("caBundle of %T %s: %w", b.object, b.object.GetName(), err)
	}
	c.Log.Info("caBundle published", "kind", fmt.Sprintf("%T", b.object), "name", b.object.GetName(),
		"certificates", len(state.trusted()))
	return nil
}
