package inject

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// TestPodSecurity asks the API server's own judge about what is added to a pod that is restricted-clean itself.
func TestPodSecurity(t *testing.T) {
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	verdict := func(pod *corev1.Pod) policy.AggregateCheckResult {
		return policy.AggregateCheckResults(judge.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	}
	yes, no := true, false
	app := &corev1.Pod{}
	app.Spec.Containers = []corev1.Container{{Name: "web", Image: "web:1", SecurityContext: &corev1.SecurityContext{
		RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}}}
	if v := verdict(app); !v.Allowed {
		t.Fatalf("the application itself: %s", v.ForbiddenDetail())
	}
	for _, native := range []bool{true, false} {
		r := request(app)
		r.NativeSidecars = native
		pod, d := Pod(r)
		if d.Outcome != Inject {
			t.Fatalf("native %v: %s", native, d.Message)
		}
		whole := verdict(pod)
		if whole.Allowed || strings.Contains(whole.ForbiddenDetail(), "sluice-proxy") {
			t.Errorf("native %v: only the init container should be against the rules: %s", native, whole.ForbiddenDetail())
		}
		init := &pod.Spec.InitContainers
		if native {
			*init = (*init)[1:]
		} else {
			*init = (*init)[:len(*init)-1]
		}
		if v := verdict(pod); !v.Allowed {
			t.Errorf("native %v: the proxy by itself is not restricted-clean: %s", native, v.ForbiddenDetail())
		}
	}
}
