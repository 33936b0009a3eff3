package access

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// sharded makes a Service with annotations "shard-map=ordinal …".
func sharded(namespace, name, annotations string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}}}
	for _, a := range strings.Fields("shard-key=header:account " + annotations) {
		k, v, _ := strings.Cut(a, "=")
		s.Annotations["sluice.mesh/"+k] = v
	}
	return s
}

// given describes all Roles and RoleBindings of ours.
func given(t *testing.T, c client.Client) string {
	t.Helper()
	var roles rbacv1.RoleList
	var bindings rbacv1.RoleBindingList
	if err := c.List(context.Background(), &roles); err != nil {
		t.Fatal(err)
	}
	if err := c.List(context.Background(), &bindings); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range roles.Items {
		fmt.Fprintf(&b, "%s/%s:", r.Namespace, r.Name)
		for _, rule := range r.Rules {
			fmt.Fprintf(&b, " %v %v %v", rule.Verbs, rule.Resources, rule.ResourceNames)
		}
		b.WriteString("\n")
	}
	for _, r := range bindings.Items {
		fmt.Fprintf(&b, "%s/%s -> %s:", r.Namespace, r.Name, r.RoleRef.Name)
		for _, s := range r.Subjects {
			b.WriteString(" " + strings.TrimPrefix(s.Name, groupPrefix))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestShardMaps(t *testing.T) {
	a, b, shop := namespace("a", "enabled"), namespace("b", "enabled"), namespace("shop", "")
	const sub = "shop/sluice-shard-maps -> sluice-shard-maps: a b\n"
	const all = "shop/sluice-shard-maps: [get list watch] "
	stale := []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: config.ShardMapsRole},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: config.ShardMapsRole},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"}, Subjects: subjects([]string{"z"})},
	}
	for _, c := range []struct {
		name    string
		objects []client.Object
		want    string
	}{
		{"no Service asks", []client.Object{a, b, shop, sharded("shop", "s", "")}, ""},
		{"a ConfigMap", []client.Object{a, b, shop, sharded("shop", "s", "shard-map=lookup shard-lookup=owners")},
			all + "[configmaps] [owners]\n" + sub},
		{"several Services", []client.Object{a, b, shop, sharded("shop", "s", "shard-map=lookup shard-lookup=owners"),
			sharded("shop", "t", "shard-map=prefix-lookup shard-lookup=areas"), sharded("shop", "u", "shard-map=ordinal,statefulset=db")},
			all + "[configmaps] [areas owners] [get list watch] [statefulsets] [db]\n" + sub},
		{"a StatefulSet that nobody names", []client.Object{a, b, shop, sharded("shop", "s", "shard-map=ordinal"),
			sharded("shop", "u", "shard-map=ordinal,statefulset=db")}, all + "[statefulsets] []\n" + sub},
		{"weights of pods", []client.Object{a, b, shop, namespace("bank", ""), sharded("shop", "s", "weights=web-0=2,pods"),
			sharded("bank", "t", "weights=web-0=2")}, all + "[pods] []\n" + sub},
		{"weights of pods, and a ConfigMap", []client.Object{a, b, shop, sharded("shop", "s", "weights=pods"),
			sharded("shop", "t", "shard-map=lookup shard-lookup=owners")}, all + "[configmaps] [owners] [get list watch] [pods] []\n" + sub},
		{"what is there is put right", append([]client.Object{a, b, shop, sharded("shop", "s", "shard-map=ordinal,statefulset=db")}, stale...),
			all + "[statefulsets] [db]\n" + sub},
		{"what nobody asks for any more goes", append([]client.Object{a, b, shop}, stale...), ""},
		{"nobody is opted in", append([]client.Object{shop, sharded("shop", "s", "shard-map=ordinal")}, stale...), ""},
		{"a namespace that is gone", []client.Object{a, sharded("shop", "s", "shard-map=ordinal")}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := controller(t, c.objects...).Live
			maps := &ShardMaps{Cache: live, Live: live, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
			for range 2 { // the second changes nothing
				if _, err := maps.Reconcile(context.Background(), reconcile.Request{}); err != nil {
					t.Fatal(err)
				}
				if got := given(t, live); got != c.want {
					t.Errorf("got\n%swant\n%s", got, c.want)
				}
			}
		})
	}
}
