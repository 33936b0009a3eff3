package facts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Facts implements admit.Facts, admit.Tables and admit.Data. Run has to run.
type Facts struct {
	Cache   cache.Cache                      // metadata of namespaces and Services; ServiceCIDRs
	Live    client.Reader                    // without the cache
	Version discovery.ServerVersionInterface // of the API server
	Served  Kinds                            // which kinds there are
	Given   []netip.Prefix                   // --service-cidrs: where there are no ServiceCIDR objects
	Log     *slog.Logger

	native  atomic.Bool
	asked   atomic.Bool // native is known
	watched atomic.Bool // the API server has ServiceCIDR objects, and the cache follows them
	settled atomic.Bool // it is known whether it has
}

// Kinds is what is needed of discovery.ServerResourcesInterface.
type Kinds interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// The times between two looks at versions and kinds: they change when the cluster is upgraded.
const (
	lookAgain  = 5 * time.Minute
	lookFailed = 5 * time.Second
)

// Run keeps the facts until ctx ends. It never returns an error: the cluster may be unreachable for a while.
func (f *Facts) Run(ctx context.Context) error {
	for {
		wait := lookAgain
		if err := errors.Join(f.findNative(ctx), f.findServiceCIDRs(ctx)); err != nil {
			f.Log.Warn("facts about the cluster", "error", err)
			wait = lookFailed
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// NeedLeaderElection is false: every replica answers admission requests.
func (f *Facts) NeedLeaderElection() bool { return false }

// Start is Run, for the manager.
func (f *Facts) Start(ctx context.Context) error { return f.Run(ctx) }

// Ready answers nil when admission requests can be answered.
func (f *Facts) Ready(ctx context.Context) error {
	if !f.asked.Load() {
		return errors.New("the API server's version is not known yet")
	}
	if !f.settled.Load() {
		return errors.New("it is not known yet whether the API server has ServiceCIDR objects")
	}
	if len(f.ServiceCIDRs(ctx)) == 0 {
		return errors.New("the API server has no ServiceCIDR objects (networking.k8s.io/v1) and --service-cidrs is not set")
	}
	return nil
}

// Namespace answers from the cache where that agrees with the API server, which called us because the namespace is opted
// in. A namespace that the cache does not know, or not as opted in, was made or labelled a moment ago: then it asks.
func (f *Facts) Namespace(ctx context.Context, name string) (config.Namespace, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(NamespaceKind)
	key := client.ObjectKey{Name: name}
	if err := f.Cache.Get(ctx, key, ns); err != nil || ns.Labels[config.InjectKey] != config.Enabled {
		if err := f.Live.Get(ctx, key, ns); err != nil {
			return config.Namespace{}, err
		}
	}
	return config.Namespace{Name: name, Labels: ns.Labels, Annotations: ns.Annotations}, nil
}

// NamespaceKind is the kind of the namespaces' metadata in the cache.
var NamespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// ServiceCIDRs answers those of the API server, sorted, else Given. Ranges that are being deleted count: addresses of
// them may still be in use.
func (f *Facts) ServiceCIDRs(ctx context.Context) []netip.Prefix {
	if !f.watched.Load() {
		return f.Given
	}
	var list networkingv1.ServiceCIDRList
	if err := f.Cache.List(ctx, &list); err != nil {
		f.Log.Error("list of ServiceCIDRs", "error", err)
		return f.Given
	}
	var cidrs []netip.Prefix
	for _, item := range list.Items {
		for _, text := range item.Spec.CIDRs {
			cidr, err := netip.ParsePrefix(text)
			if err != nil {
				f.Log.Error("ServiceCIDR is not understood", "serviceCIDR", item.Name, "cidr", text, "error", err)
				continue
			}
			cidrs = append(cidrs, cidr.Masked())
		}
	}
	if len(cidrs) == 0 {
		return f.Given
	}
	slices.SortFunc(cidrs, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(cidrs)
}

func (f *Facts) findServiceCIDRs(ctx context.Context) error {
	if f.watched.Load() {
		return nil
	}
	served, err := f.serves("servicecidrs")
	if err != nil {
		return fmt.Errorf("kinds of %s: %w", networkingv1.SchemeGroupVersion, err)
	}
	if served {
		// Blocks until the cache has them.
		if _, err := f.Cache.GetInformer(ctx, &networkingv1.ServiceCIDR{}); err != nil && !meta.IsNoMatchError(err) {
			return fmt.Errorf("watch of ServiceCIDRs: %w", err)
		} else if err == nil {
			f.watched.Store(true)
		}
	}
	f.settled.Store(true)
	return nil
}

func (f *Facts) serves(resource string) (bool, error) {
	list, err := f.Served.ServerResourcesForGroupVersion(networkingv1.SchemeGroupVersion.String())
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource }), nil
}
