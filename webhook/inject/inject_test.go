package inject

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// checkInjected holds for every injected pod: what was added can be taken out again, leaving the pod there was, and
// injecting again changes nothing.
func checkInjected(t *testing.T, r Request, pod *corev1.Pod) {
	t.Helper()
	if got := withoutOurs(pod, r.Pod); !reflect.DeepEqual(got, r.Pod) {
		t.Errorf("the application's part of the pod is changed:\ngot  %s\nwant %s", asJSON(t, got), asJSON(t, r.Pod))
	}
	again := r
	again.Pod = pod
	twice, d := Pod(again)
	if d.Outcome != Skip || d.Reason != AlreadyInjected {
		t.Errorf("injecting twice: %s, %s", d.Outcome, d.Reason)
	}
	if !reflect.DeepEqual(twice, pod) {
		t.Errorf("injecting twice changes the pod:\ngot  %s\nwant %s", asJSON(t, twice), asJSON(t, pod))
	}
}

// withoutOurs takes out by name, so that order and number of all else are compared; original tells nil from empty.
func withoutOurs(pod, original *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	ours := func(c corev1.Container) bool {
		return c.Name == config.InitContainer || c.Name == config.ProxyContainer
	}
	pod.Spec.InitContainers = slices.DeleteFunc(pod.Spec.InitContainers, ours)
	pod.Spec.Containers = slices.DeleteFunc(pod.Spec.Containers, ours)
	pod.Spec.Volumes = slices.DeleteFunc(pod.Spec.Volumes,
		func(v corev1.Volume) bool { return v.Name == config.TokenVolume || v.Name == config.InitVolume })
	if _, had := original.Annotations[defaultContainer]; !had {
		delete(pod.Annotations, defaultContainer)
	}
	if len(pod.Spec.InitContainers) == 0 {
		pod.Spec.InitContainers = original.Spec.InitContainers
	}
	if len(pod.Spec.Volumes) == 0 {
		pod.Spec.Volumes = original.Spec.Volumes
	}
	if len(pod.Annotations) == 0 {
		pod.Annotations = original.Annotations
	}
	return pod
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors injects pods that others wrote; see testdata/vectors/README.md.
func TestVectors(t *testing.T) {
	files, _ := filepath.Glob("testdata/vectors/*.json")
	if len(files) != 53 {
		t.Fatalf("%d vectors, not 53", len(files))
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vector struct {
			Source string
			Pod    *corev1.Pod
		}
		if err := json.Unmarshal(data, &vector); err != nil {
			t.Fatal(err)
		}
		for _, native := range []bool{true, false} {
			t.Run(filepath.Base(file)+map[bool]string{true: " native", false: " classic"}[native], func(t *testing.T) {
				r := request(vector.Pod)
				r.NativeSidecars = native
				pod, d := Pod(r)
				switch {
				case vector.Pod.Spec.HostNetwork:
					if d.Reason != HostNetwork {
						t.Errorf("%s: %s, %s", vector.Source, d.Outcome, d.Reason)
					}
				case !native && vector.Pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
					if d.Reason != RunsToCompletion {
						t.Errorf("%s: %s, %s", vector.Source, d.Outcome, d.Reason)
					}
				case d.Outcome != Inject:
					t.Errorf("%s: %s, %s: %s", vector.Source, d.Outcome, d.Reason, d.Message)
				default:
					checkInjected(t, r, pod)
				}
			})
		}
	}
}

func request(pod *corev1.Pod) Request {
	defaults := config.Defaults()
	defaults.Image = "sluice:test"
	return Request{Pod: pod, Namespace: config.Namespace{Name: "shop"}, Defaults: defaults, NativeSidecars: true,
		ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}
}
