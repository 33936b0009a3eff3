// Package access gives the proxies of opted-in namespaces the read access they need: one ClusterRoleBinding from the
// groups of those namespaces' service accounts to the ClusterRole sluice-sidecar, which may read Services,
// EndpointSlices, and nothing else. What shard maps and weights need besides, a Role in the namespaces of such Services has (ShardMaps).
//
// It is one binding for all namespaces, and not one for each, because of what the webhook has to be allowed: RBAC can
// limit changes to an object by its name, so this takes the right to change one named binding, where bindings of its own
// for each namespace would take the right to change and delete all bindings of the cluster. Names of namespaces are up
// to 63 bytes, so the 1.5 MB that an object may have are enough for some ten thousand of them.
package access

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	rbacac "k8s.io/client-go/applyconfigurations/rbac/v1"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// groupPrefix is followed by a namespace; every service account of the namespace is in the group.
const groupPrefix = "system:serviceaccounts:"

// has says whether a binding gives the namespace its access.
func has(binding *rbacv1.ClusterRoleBinding, namespace string) bool {
	return slices.ContainsFunc(binding.Subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.GroupKind && s.APIGroup == rbacv1.GroupName && s.Name == groupPrefix+namespace
	})
}

// exact says whether a binding gives access to the namespaces, which are sorted, and to nobody else.
func exact(binding *rbacv1.ClusterRoleBinding, namespaces []string) bool {
	if binding.RoleRef != roleRef || len(binding.Subjects) != len(namespaces) {
		return false
	}
	return !slices.ContainsFunc(namespaces, func(ns string) bool { return !has(binding, ns) })
}

var roleRef = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: config.SidecarRole}

// namespaces answers those a binding gives access to, sorted.
func namespaces(binding *rbacv1.ClusterRoleBinding) []string {
	var list []string
	for _, s := range binding.Subjects {
		if name, ok := strings.CutPrefix(s.Name, groupPrefix); ok && s.Kind == rbacv1.GroupKind {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func subjects(namespaces []string) []rbacv1.Subject {
	var list []rbacv1.Subject
	for _, ns := range namespaces {
		list = append(list, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: groupPrefix + ns})
	}
	return list
}

// desired answers a new binding for the namespaces.
func desired(namespaces []string) *rbacac.ClusterRoleBindingApplyConfiguration {
	binding := rbacac.ClusterRoleBinding(config.SidecarRole).
		WithLabels(map[string]string{"app.kubernetes.io/part-of": "sluice"}).
		WithRoleRef(rbacac.RoleRef().WithAPIGroup(roleRef.APIGroup).WithKind(roleRef.Kind).WithName(roleRef.Name))
	for _, s := range subjects(namespaces) {
		binding.WithSubjects(rbacac.Subject().WithKind(s.Kind).WithAPIGroup(s.APIGroup).WithName(s.Name))
	}
	return binding
}

// roleWith answers the Role of a namespace with shard maps.
func roleWith(namespace string, rules []rbacv1.PolicyRule) *rbacac.RoleApplyConfiguration {
	role := rbacac.Role(config.ShardMapsRole, namespace).WithLabels(map[string]string{"app.kubernetes.io/part-of": "sluice"})
	for _, r := range rules {
		role.WithRules(rbacac.PolicyRule().WithAPIGroups(r.APIGroups...).WithResources(r.Resources...).
			WithResourceNames(r.ResourceNames...).WithVerbs(r.Verbs...))
	}
	return role
}

// bindingOf answers the RoleBinding beside it, for the service accounts of these namespaces.
func bindingOf(namespace string, callers []string) *rbacac.RoleBindingApplyConfiguration {
	binding := rbacac.RoleBinding(config.ShardMapsRole, namespace).WithLabels(map[string]string{"app.kubernetes.io/part-of": "sluice"}).
		WithRoleRef(rbacac.RoleRef().WithAPIGroup(shardMapsRef.APIGroup).WithKind(shardMapsRef.Kind).WithName(shardMapsRef.Name))
	for _, s := range subjects(callers) {
		binding.WithSubjects(rbacac.Subject().WithKind(s.Kind).WithAPIGroup(s.APIGroup).WithName(s.Name))
	}
	return binding
}

// find answers the object of a namespace that has our name; nil where there is none.
func find[T any, P interface {
	*T
	metav1.Object
}](all []T, namespace string) P {
	for i := range all {
		if o := P(&all[i]); o.GetNamespace() == namespace && o.GetName() == config.ShardMapsRole {
			return o
		}
	}
	return nil
}
