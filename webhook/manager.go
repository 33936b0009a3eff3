package webhook

import (
	"context"
	"errors"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/sluice-mesh/sluice/webhook/access"
	"github.com/sluice-mesh/sluice/webhook/certs"
	"github.com/sluice-mesh/sluice/webhook/config"
	"github.com/sluice-mesh/sluice/webhook/facts"
)

// newScheme has only the kinds that are used.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	var errs []error
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, admissionregistrationv1.AddToScheme,
		networkingv1.AddToScheme, rbacv1.AddToScheme, metav1.AddMetaToScheme} {
		errs = append(errs, add(scheme))
	}
	return scheme, errors.Join(errs...)
}

// cacheOptions restrict the cache to the objects by name that are ours; RBAC allows no more. Of namespaces and Services it holds
// the metadata, of pods nothing.
func cacheOptions(o config.Options) cache.Options {
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:             {Namespaces: map[string]cache.Config{o.Namespace: {FieldSelector: named(o.Secret)}}},
			&rbacv1.ClusterRoleBinding{}: {Field: named(config.SidecarRole)},
			&rbacv1.Role{}:               {Field: named(config.ShardMapsRole)},
			&rbacv1.RoleBinding{}:        {Field: named(config.ShardMapsRole)},
			&admissionregistrationv1.MutatingWebhookConfiguration{}:   {Field: named(o.Configuration)},
			&admissionregistrationv1.ValidatingWebhookConfiguration{}: {Field: named(o.Configuration)},
		},
	}
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(facts.NamespaceKind)
	return ns
}

func serviceMetadata() *metav1.PartialObjectMetadata {
	service := &metav1.PartialObjectMetadata{}
	service.SetGroupVersionKind(facts.ServiceKind)
	return service
}

// warm starts the watches that admission reads; controllers would start them on the leader only. There is none of ConfigMaps: the cache
// would hold all of the cluster's.
func warm(ctx context.Context, m manager.Manager) error {
	for _, object := range []client.Object{namespaceMetadata(), serviceMetadata(), &rbacv1.ClusterRoleBinding{}} {
		if _, err := m.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return fmt.Errorf("watch of %T: %w", object, err)
		}
	}
	return nil
}

// addServer lets the leaf follow the Secret, on every replica.
func addServer(m manager.Manager, server *certs.Server) error {
	everywhere := false
	return ctrl.NewControllerManagedBy(m).Named("serving-certificate").For(&corev1.Secret{}).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere}).Complete(server)
}

// addRotation looks at certificates whenever the Secret or a webhook configuration changes, and when they ask for it.
func addRotation(m manager.Manager, rotation *certs.Controller) error {
	return ctrl.NewControllerManagedBy(m).Named("certificates").
		WatchesRawSource(once()).
		Watches(&corev1.Secret{}, toOne()).
		Watches(&admissionregistrationv1.MutatingWebhookConfiguration{}, toOne()).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, toOne()).
		Complete(rotation)
}

// addAccess looks at the binding whenever it or a namespace's metadata changes.
func addAccess(m manager.Manager, reader *access.Controller) error {
	return ctrl.NewControllerManagedBy(m).Named("access").
		WatchesRawSource(once()).
		WatchesMetadata(namespaceMetadata(), toOne()).
		Watches(&rbacv1.ClusterRoleBinding{}, toOne()).
		Complete(reader)
}

// addShardMaps looks at the Roles of namespaces with shard maps whenever one of them, a namespace or a Service's annotation changes.
func addShardMaps(m manager.Manager, maps *access.ShardMaps) error {
	return ctrl.NewControllerManagedBy(m).Named("shard-maps").
		WatchesRawSource(once()).
		WatchesMetadata(namespaceMetadata(), toOne()).
		WatchesMetadata(serviceMetadata(), toOne(), builder.WithPredicates(predicate.AnnotationChangedPredicate{})).
		Watches(&rbacv1.Role{}, toOne()).
		Watches(&rbacv1.RoleBinding{}, toOne()).
		Complete(maps)
}

// Controllers that look after one thing have one request.
var one = reconcile.Request{}

func toOne() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{one}
	})
}

// once asks for a first look, which is needed where there is nothing yet that could change.
func once() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(one)
		return nil
	})
}
