package access

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-mesh/sluice/webhook/config"
)

func controller(t *testing.T, objects ...client.Object) *Controller {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme, metav1.AddMetaToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	return &Controller{Cache: c, Live: c, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func namespace(name, label string) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if label != "" {
		ns.Labels = map[string]string{config.InjectKey: label}
	}
	return ns
}

func binding(role string, names ...string) *rbacv1.ClusterRoleBinding {
	b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: config.SidecarRole}, RoleRef: roleRef}
	b.RoleRef.Name = role
	for _, name := range names {
		b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: name})
	}
	return b
}

func TestReconcile(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []client.Object
		want    []string
	}{
		{"no namespace is opted in", []client.Object{namespace("a", "")}, nil},
		{"the binding is made", []client.Object{namespace("b", "enabled"), namespace("a", "enabled"), namespace("c", "disabled")},
			[]string{"a", "b"}},
		{"the label went", []client.Object{namespace("a", ""), namespace("b", "enabled"),
			binding(config.SidecarRole, groupPrefix+"a", groupPrefix+"b")}, []string{"b"}},
		{"the last label went", []client.Object{namespace("a", ""), binding(config.SidecarRole, groupPrefix+"a")}, nil},
		{"somebody added a subject", []client.Object{namespace("a", "enabled"),
			binding(config.SidecarRole, groupPrefix+"a", "system:authenticated")}, []string{"a"}},
		{"somebody bound another role", []client.Object{namespace("a", "enabled"), binding("cluster-admin", groupPrefix+"a")},
			[]string{"a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			access := controller(t, c.objects...)
			for range 2 { // the second changes nothing
				if _, err := access.Reconcile(context.Background(), reconcile.Request{}); err != nil {
					t.Fatal(err)
				}
				check(t, access, c.want)
			}
		})
	}
}

func check(t *testing.T, c *Controller, want []string) {
	t.Helper()
	var b rbacv1.ClusterRoleBinding
	if err := c.Live.Get(context.Background(), key, &b); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(namespaces(&b), want) || !exact(&b, want) {
		t.Errorf("binding %+v, want namespaces %v", b, want)
	}
}

func TestEnsure(t *testing.T) {
	for _, c := range []struct {
		name    string
		objects []client.Object
		want    []string
	}{
		{"there is no binding", nil, []string{"shop"}},
		{"the namespace is not in the binding", []client.Object{binding(config.SidecarRole, groupPrefix+"z", groupPrefix+"a")},
			[]string{"a", "shop", "z"}},
		{"the namespace is in the binding", []client.Object{binding(config.SidecarRole, groupPrefix+"shop")}, []string{"shop"}},
		{"the binding is not ours", []client.Object{binding("cluster-admin", groupPrefix+"shop")}, []string{"shop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			access := controller(t, c.objects...)
			if err := access.Ensure(context.Background(), "shop"); err != nil {
				t.Fatal(err)
			}
			check(t, access, c.want)
		})
	}
}
