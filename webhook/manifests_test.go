package webhook

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// manifest answers the object of a kind and name in ../manifests, read strictly into T.
func manifest[T any](t *testing.T, kind, name string) *T {
	t.Helper()
	files, err := filepath.Glob("../manifests/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range bytes.Split(data, []byte("\n---\n")) {
			var head struct {
				Kind     string
				Metadata struct{ Name string }
			}
			if err := yaml.Unmarshal(document, &head); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if head.Kind != kind || head.Metadata.Name != name {
				continue
			}
			object := new(T)
			if err := yaml.UnmarshalStrict(document, object); err != nil {
				t.Fatalf("%s: %s %s: %v", file, kind, name, err)
			}
			return object
		}
	}
	t.Fatalf("no %s %s in ../manifests", kind, name)
	return nil
}

// TestManifestsFitTheProgram compares names, paths and ports with the program's defaults.
func TestManifestsFitTheProgram(t *testing.T) {
	o, err := config.ParseOptions(nil, func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	pods := manifest[admissionregistrationv1.MutatingWebhookConfiguration](t, "MutatingWebhookConfiguration", o.Configuration).Webhooks[0]
	validating := manifest[admissionregistrationv1.ValidatingWebhookConfiguration](t, "ValidatingWebhookConfiguration", o.Configuration).Webhooks
	named := func(name string) admissionregistrationv1.ValidatingWebhook {
		i := slices.IndexFunc(validating, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == name })
		if i < 0 {
			t.Fatalf("no validating webhook %s", name)
		}
		return validating[i]
	}
	services, configMaps := named("services.sluice.mesh"), named("configmaps.sluice.mesh")
	for path, client := range map[string]admissionregistrationv1.WebhookClientConfig{PodsPath: pods.ClientConfig,
		ServicesPath: services.ClientConfig, ConfigMapsPath: configMaps.ClientConfig} {
		if s := client.Service; s == nil || s.Namespace != o.Namespace || s.Name != o.Service || *s.Path != path {
			t.Errorf("%s: %+v", path, s)
		}
	}
	if pods.NamespaceSelector.MatchLabels[config.InjectKey] != config.Enabled ||
		!slices.Contains(pods.NamespaceSelector.MatchExpressions[0].Values, o.Namespace) ||
		!slices.Contains(pods.NamespaceSelector.MatchExpressions[0].Values, "kube-system") {
		t.Errorf("selector %+v", pods.NamespaceSelector)
	}
	if !reflect.DeepEqual(configMaps.NamespaceSelector, pods.NamespaceSelector) {
		t.Errorf("ConfigMaps of %+v, pods of %+v: want the same namespaces", configMaps.NamespaceSelector, pods.NamespaceSelector)
	}
	if services.NamespaceSelector != nil {
		t.Errorf("Services of %+v: want all", services.NamespaceSelector)
	}
	if *pods.FailurePolicy != admissionregistrationv1.Fail {
		t.Errorf("failure policy for pods %s, want Fail", *pods.FailurePolicy)
	}
	for _, w := range validating {
		if *w.FailurePolicy != admissionregistrationv1.Ignore || *w.SideEffects != admissionregistrationv1.SideEffectClassNone ||
			*w.MatchPolicy != admissionregistrationv1.Equivalent {
			t.Errorf("%s: failure policy %s, side effects %s, match policy %s; want Ignore, None, Equivalent", w.Name, *w.FailurePolicy, *w.SideEffects,
				*w.MatchPolicy)
		}
		if patience := time.Duration(*w.TimeoutSeconds) * time.Second; patience < configMapsWait+time.Second || patience > 5*time.Second {
			t.Errorf("%s: API servers wait for %v", w.Name, patience)
		}
		if operations := w.Rules[0].Operations; len(w.Rules) != 1 || !slices.Equal(operations,
			[]admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update}) {
			t.Errorf("%s: rules %+v", w.Name, w.Rules)
		}
	}
	role := manifest[rbacv1.ClusterRole](t, "ClusterRole", config.SidecarRole)
	for _, rule := range role.Rules {
		if !slices.Equal(rule.Verbs, []string{"get", "list", "watch"}) {
			t.Errorf("proxies may %v %v", rule.Verbs, rule.Resources)
		}
	}
	binding := manifest[rbacv1.ClusterRoleBinding](t, "ClusterRoleBinding", config.SidecarRole)
	if binding.RoleRef.Name != role.Name || binding.Subjects != nil {
		t.Errorf("binding %+v; its subjects are the webhook's to write", binding)
	}
	names := map[string]string{"secrets": o.Secret, "leases": "sluice-webhook"}
	for _, rule := range manifest[rbacv1.Role](t, "Role", "sluice-webhook").Rules {
		if want := names[rule.Resources[0]]; want != "" && len(rule.ResourceNames) > 0 && !slices.Equal(rule.ResourceNames, []string{want}) {
			t.Errorf("%v %v, want %s", rule.Resources, rule.ResourceNames, want)
		}
	}
	for _, rule := range manifest[rbacv1.ClusterRole](t, "ClusterRole", "sluice-webhook").Rules {
		if slices.Contains(rule.Resources, "roles") && !slices.Equal(rule.ResourceNames, []string{config.ShardMapsRole}) {
			t.Errorf("the webhook may %v roles %v", rule.Verbs, rule.ResourceNames)
		}
	}
	// Nobody can give a right that he has not himself.
	for _, resource := range []string{"/configmaps", "apps/statefulsets", "/pods"} {
		group, name, _ := strings.Cut(resource, "/")
		if !slices.ContainsFunc(manifest[rbacv1.ClusterRole](t, "ClusterRole", "sluice-webhook").Rules, func(r rbacv1.PolicyRule) bool {
			return slices.Equal(r.APIGroups, []string{group}) && slices.Contains(r.Resources, name) && r.ResourceNames == nil &&
				slices.Equal(r.Verbs, []string{"get", "list", "watch"})
		}) {
			t.Errorf("the webhook may not get, list and watch %s, and so cannot let proxies", resource)
		}
	}
	service := manifest[corev1.Service](t, "Service", o.Service)
	deployment := manifest[appsv1.Deployment](t, "Deployment", "sluice-webhook")
	for key, value := range service.Spec.Selector {
		if deployment.Spec.Template.Labels[key] != value {
			t.Errorf("the Service's selector %s=%s is not of the Deployment's pods", key, value)
		}
	}
	ports := map[string]int{"tls": o.TLSPort}
	for _, p := range deployment.Spec.Template.Spec.Containers[0].Ports {
		if want, ok := ports[p.Name]; ok && int(p.ContainerPort) != want {
			t.Errorf("port %s is %d, want %d", p.Name, p.ContainerPort, want)
		}
		if address := map[string]string{"health": o.HealthAddress, "metrics": o.MetricsAddress}[p.Name]; address != "" &&
			!strings.HasSuffix(address, ":"+strconv.Itoa(int(p.ContainerPort))) {
			t.Errorf("port %s is %d, want that of %s", p.Name, p.ContainerPort, address)
		}
	}
	if *deployment.Spec.Replicas < 2 || *deployment.Spec.Template.Spec.EnableServiceLinks ||
		deployment.Spec.Template.Spec.Containers[0].Name != "webhook" {
		t.Error("two replicas at least, no service links, and a container named webhook")
	}
	if grace := *deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; float64(grace) < o.ShutdownDelay.Seconds()+30 {
		t.Errorf("%d s to end, of which %v go to serving on", grace, o.ShutdownDelay)
	}
}

// TestWebhookIsRestricted: its namespace enforces it.
func TestWebhookIsRestricted(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	template := manifest[appsv1.Deployment](t, "Deployment", "sluice-webhook").Spec.Template
	verdict := policy.AggregateCheckResults(judge.EvaluatePod(
		api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &template.ObjectMeta, &template.Spec))
	if !verdict.Allowed {
		t.Error(verdict.ForbiddenDetail())
	}
}
