package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// ShardMaps lets proxies read what shard maps and weights are made of besides endpoints: the StatefulSets, ConfigMaps and Pods that
// annotations of Services ask for, and no others. StatefulSets have pod templates in them, and ConfigMaps anything, so this is for the
// namespaces of such Services alone, by a Role and a RoleBinding there, and by name: of ConfigMaps in any case, of StatefulSets where
// the annotation names one. Pods are all of the namespace's, and whole: RBAC knows neither labels nor parts of objects. Who may annotate
// a Service of a namespace can so open ConfigMaps and pods of that namespace, and of no other.
type ShardMaps struct {
	Cache client.Reader // metadata of namespaces and Services; Roles and RoleBindings named config.ShardMapsRole
	Live  client.Client // past any cache
	Log   *slog.Logger
}

// Reconcile brings all namespaces to what their Services ask for; the request's name does not matter. It runs on the leader.
func (s *ShardMaps) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	here, callers, err := s.namespaces(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	asked, err := s.asked(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	var roles rbacv1.RoleList
	if err := s.Cache.List(ctx, &roles); err != nil {
		return reconcile.Result{}, fmt.Errorf("roles: %w", err)
	}
	var bindings rbacv1.RoleBindingList
	if err := s.Cache.List(ctx, &bindings); err != nil {
		return reconcile.Result{}, fmt.Errorf("rolebindings: %w", err)
	}
	var errs []error
	for namespace := range here {
		if len(callers) == 0 {
			delete(asked, namespace)
		}
		role, binding := find(roles.Items, namespace), find(bindings.Items, namespace)
		if a := asked[namespace]; a != nil {
			errs = append(errs, s.give(ctx, namespace, a.rules(), callers, role, binding))
		} else {
			errs = append(errs, s.take(ctx, namespace, role, binding))
		}
	}
	return reconcile.Result{}, errors.Join(errs...)
}

// namespaces answers those that are not about to go, and those of them that are opted in, sorted.
func (s *ShardMaps) namespaces(ctx context.Context) (here map[string]bool, optedIn []string, err error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := s.Cache.List(ctx, list); err != nil {
		return nil, nil, fmt.Errorf("namespaces: %w", err)
	}
	here = map[string]bool{}
	for i := range list.Items {
		if ns := &list.Items[i]; ns.DeletionTimestamp == nil {
			here[ns.Name] = true
			if ns.Labels[config.InjectKey] == config.Enabled {
				optedIn = append(optedIn, ns.Name)
			}
		}
	}
	slices.Sort(optedIn)
	return here, optedIn, nil
}

// asks is what a namespace's Services ask for.
type asks struct {
	configMaps, statefulSets map[string]bool
	anyStatefulSet, pods     bool
}

func (s *ShardMaps) asked(ctx context.Context) (map[string]*asks, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceList"))
	if err := s.Cache.List(ctx, list); err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	asked := map[string]*asks{}
	for i := range list.Items {
		m := config.ShardMapOf(list.Items[i].Annotations)
		if m == (config.ShardMap{}) {
			continue
		}
		a := asked[list.Items[i].Namespace]
		if a == nil {
			a = &asks{configMaps: map[string]bool{}, statefulSets: map[string]bool{}}
			asked[list.Items[i].Namespace] = a
		}
		if m.ConfigMap != "" {
			a.configMaps[m.ConfigMap] = true
		}
		if m.StatefulSet != "" {
			a.statefulSets[m.StatefulSet] = true
		}
		a.anyStatefulSet = a.anyStatefulSet || m.AnyStatefulSet
		a.pods = a.pods || m.Pods
	}
	return asked, nil
}

// rules are those of the Role. A list or watch by the field metadata.name is one of the object of that name.
func (a *asks) rules() (rules []rbacv1.PolicyRule) {
	verbs := []string{"get", "list", "watch"}
	if len(a.configMaps) > 0 {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"},
			ResourceNames: slices.Sorted(maps.Keys(a.configMaps)), Verbs: verbs})
	}
	sets := rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"statefulsets"}, Verbs: verbs}
	if !a.anyStatefulSet {
		sets.ResourceNames = slices.Sorted(maps.Keys(a.statefulSets))
	}
	if a.anyStatefulSet || len(a.statefulSets) > 0 {
		rules = append(rules, sets)
	}
	if a.pods {
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: verbs})
	}
	return rules
}

var shardMapsRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: config.ShardMapsRole}

// give makes the Role and the RoleBinding of a namespace what they are to be.
func (s *ShardMaps) give(ctx context.Context, namespace string, rules []rbacv1.PolicyRule, callers []string, role *rbacv1.Role,
	binding *rbacv1.RoleBinding) error {
	if role == nil || !equality.Semantic.DeepEqual(role.Rules, rules) {
		if err := s.Live.Apply(ctx, roleWith(namespace, rules), client.ForceOwnership, client.FieldOwner("sluice-webhook")); err != nil {
			return fmt.Errorf("role %s/%s: %w", namespace, config.ShardMapsRole, err)
		}
		s.Log.Info("read access for shard maps and weights", "namespace", namespace, "rules", fmt.Sprint(rules))
	}
	if binding != nil && binding.RoleRef != shardMapsRef { // a binding's role cannot be changed
		if err := s.Live.Delete(ctx, binding); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("rolebinding %s/%s: %w", namespace, config.ShardMapsRole, err)
		}
		binding = nil
	}
	if binding == nil || !slices.Equal(binding.Subjects, subjects(callers)) {
		if err := s.Live.Apply(ctx, bindingOf(namespace, callers), client.ForceOwnership, client.FieldOwner("sluice-webhook")); err != nil {
			return fmt.Errorf("rolebinding %s/%s: %w", namespace, config.ShardMapsRole, err)
		}
	}
	return nil
}

// take removes what there is of them.
func (s *ShardMaps) take(ctx context.Context, namespace string, role *rbacv1.Role, binding *rbacv1.RoleBinding) error {
	var errs []error
	if binding != nil {
		errs = append(errs, client.IgnoreNotFound(s.Live.Delete(ctx, binding)))
	}
	if role != nil {
		errs = append(errs, client.IgnoreNotFound(s.Live.Delete(ctx, role)))
		s.Log.Info("read access for shard maps and weights: taken away", "namespace", namespace)
	}
	return errors.Join(errs...)
}
