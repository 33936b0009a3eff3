package facts

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestNative(t *testing.T) {
	for _, c := range []struct {
		name, server string
		kubelets     string
		want         bool
		wantErr      string
	}{
		{"older than native sidecars", "v1.28.9", "not asked", false, ""},
		{"so new that every kubelet has them", "v1.32.0", "not asked", true, ""},
		{"a vendor's version", "v1.36.3-eks-1234", "not asked", true, ""},
		{"in between, all kubelets have them", "v1.30.1", "v1.30.1 v1.29.0+k3s1", true, ""},
		{"in between, one kubelet has not", "v1.31.1", "v1.31.1 v1.28.15", false, ""},
		{"in between, no node yet", "v1.29.0", "", true, ""},
		{"in between, nodes cannot be listed", "v1.29.0", "forbidden", false, "versions of the kubelets: forbidden"},
		{"not a version", "latest", "not asked", false, "version of the API server"},
		{"a kubelet's is not a version", "v1.29.0", "?", false, "version of a kubelet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := native(c.server, func() ([]string, error) {
				switch c.kubelets {
				case "not asked":
					t.Error("asked for kubelets")
				case "forbidden":
					return nil, errors.New("forbidden")
				}
				return strings.Fields(c.kubelets), nil
			})
			if got != c.want || (err == nil) != (c.wantErr == "") || err != nil && !strings.Contains(err.Error(), c.wantErr) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// cluster is an API server and a cache of it that may be behind.
type cluster struct {
	cache.Cache // what is not overridden is not called
	cached      client.Client
	version     string
	served      bool
	informers   int
	err         error // of lists
}

func (c *cluster) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return c.cached.Get(ctx, key, o, opts...)
}

func (c *cluster) List(ctx context.Context, l client.ObjectList, opts ...client.ListOption) error {
	if c.err != nil {
		return c.err
	}
	return c.cached.List(ctx, l, opts...)
}

func (c *cluster) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	c.informers++
	return nil, nil
}

func (c *cluster) ServerVersion() (*version.Info, error) {
	if c.version == "" {
		return nil, errors.New("API server away")
	}
	return &version.Info{GitVersion: c.version}, nil
}

func (c *cluster) ServerResourcesForGroupVersion(gv string) (*metav1.APIResourceList, error) {
	list := &metav1.APIResourceList{GroupVersion: gv, APIResources: []metav1.APIResource{{Name: "ingresses"}}}
	if c.served {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: "servicecidrs"})
	}
	return list, nil
}

func newFacts(t *testing.T, c *cluster, live []client.Object, cached ...client.Object) *Facts {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, networkingv1.AddToScheme, metav1.AddMetaToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c.cached = fake.NewClientBuilder().WithScheme(scheme).WithObjects(cached...).Build()
	return &Facts{Cache: c, Live: fake.NewClientBuilder().WithScheme(scheme).WithObjects(live...).Build(), Version: c,
		Served: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func serviceCIDR(name string, cidrs ...string) client.Object {
	return &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: cidrs}}
}

func TestServiceCIDRs(t *testing.T) {
	given := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}
	for _, c := range []struct {
		name   string
		served bool
		given  []netip.Prefix
		cached []client.Object
		want   string
		ready  string // part of the error
	}{
		{"objects, of both families, sorted and once each", true, given, []client.Object{serviceCIDR("b", "fd00::/112", "10.96.0.0/16"),
			serviceCIDR("a", "10.32.0.0/16", "10.96.0.0/16")}, "10.32.0.0/16 10.96.0.0/16 fd00::/112", ""},
		{"no such kind", false, given, nil, "192.168.0.0/16", ""},
		{"the kind, but no object", true, given, nil, "192.168.0.0/16", ""},
		{"nothing at all", false, nil, nil, "", "--service-cidrs is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFacts(t, &cluster{version: "v1.36.0", served: c.served}, nil, c.cached...)
			f.Given = c.given
			if err := f.Ready(context.Background()); err == nil {
				t.Error("ready before anything is known")
			}
			if err := errors.Join(f.findNative(context.Background()), f.findServiceCIDRs(context.Background())); err != nil {
				t.Fatal(err)
			}
			var want []netip.Prefix
			for _, s := range strings.Fields(c.want) {
				want = append(want, netip.MustParsePrefix(s))
			}
			if got := f.ServiceCIDRs(context.Background()); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			if err := f.Ready(context.Background()); (err == nil) != (c.ready == "") || err != nil && !strings.Contains(err.Error(), c.ready) {
				t.Errorf("ready: %v", err)
			}
		})
	}
}

func TestNamespace(t *testing.T) {
	ns := func(name, label string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"sluice.mesh/inject": label}}}
	}
	f := newFacts(t, &cluster{}, []client.Object{ns("new", "enabled"), ns("labelled", "enabled"), ns("known", "changed meanwhile")},
		ns("labelled", ""), ns("known", "enabled"))
	for name, want := range map[string]string{"new": "enabled", "labelled": "enabled", "known": "enabled"} {
		if got, err := f.Namespace(context.Background(), name); err != nil || got.Labels["sluice.mesh/inject"] != want || got.Name != name {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := f.Namespace(context.Background(), "gone"); err == nil {
		t.Error("a namespace that does not exist is answered")
	}
}
