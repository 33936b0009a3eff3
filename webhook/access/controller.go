package access

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Controller keeps the binding. Reconcile runs on the leader; Ensure on every replica. Both are safe for concurrent use,
// and with each other.
type Controller struct {
	Cache client.Reader // namespaces' metadata, and the binding
	Live  client.Client // past any cache
	Log   *slog.Logger
}

var key = client.ObjectKey{Name: config.SidecarRole}

// Reconcile makes the binding what the labels of the namespaces say; the request's name does not matter.
func (c *Controller) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := c.Cache.List(ctx, list, client.MatchingLabels{config.InjectKey: config.Enabled}); err != nil {
		return reconcile.Result{}, fmt.Errorf("opted-in namespaces: %w", err)
	}
	var names []string
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			names = append(names, list.Items[i].Name)
		}
	}
	slices.Sort(names)
	return reconcile.Result{}, c.change(ctx, func(*rbacv1.ClusterRoleBinding) []string { return names })
}

// Ensure gives a namespace access at once: when it was opted in a moment ago, the leader may not have got to it. The
// leader takes it away again if the label is not there after all.
func (c *Controller) Ensure(ctx context.Context, namespace string) error {
	var binding rbacv1.ClusterRoleBinding
	if err := c.Cache.Get(ctx, key, &binding); err == nil && binding.RoleRef == roleRef && has(&binding, namespace) {
		return nil
	}
	return c.change(ctx, func(b *rbacv1.ClusterRoleBinding) []string {
		names := append(namespaces(b), namespace)
		slices.Sort(names)
		return slices.Compact(names)
	})
}

// change brings the binding to what want says of the one there is, which is empty when there is none.
func (c *Controller) change(ctx context.Context, want func(*rbacv1.ClusterRoleBinding) []string) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		var binding rbacv1.ClusterRoleBinding
		err := c.Live.Get(ctx, key, &binding)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("ClusterRoleBinding %s: %w", key.Name, err)
		}
		names := want(&binding)
		if err == nil && exact(&binding, names) {
			return nil
		}
		if err == nil && binding.RoleRef != roleRef {
			// A binding's role cannot be changed.
			if err := c.Live.Delete(ctx, &binding); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("ClusterRoleBinding %s with role %s: %w", key.Name, binding.RoleRef.Name, err)
			}
			binding.ResourceVersion = ""
		}
		if binding.ResourceVersion == "" {
			// Applying makes what is not there, and does it by name, which RBAC can be told; to create has no name.
			err = c.Live.Apply(ctx, desired(names), client.ForceOwnership, client.FieldOwner("sluice-webhook"))
		} else {
			binding.Subjects = subjects(names)
			err = c.Live.Update(ctx, &binding)
		}
		if err != nil {
			return err // unwrapped, for RetryOnConflict
		}
		c.Log.Info("read access", "namespaces", names)
		return nil
	})
}
