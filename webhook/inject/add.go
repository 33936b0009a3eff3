package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// defaultContainer is what kubectl logs and exec take when they are not told; they take the first otherwise, which is
// the proxy in a pod with a classic sidecar.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// add answers a copy of the pod with our containers and volumes; see the package comment for their places.
func add(pod *corev1.Pod, s *config.Settings, native bool) *corev1.Pod {
	pod = pod.DeepCopy()
	resources := resources(pod, s)
	init, proxy := initContainer(s, resources), proxyContainer(s, resources, native)
	if native {
		pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, init, proxy)
	} else {
		if _, set := pod.Annotations[defaultContainer]; !set && len(pod.Spec.Containers) > 0 {
			if pod.Annotations == nil {
				pod.Annotations = map[string]string{}
			}
			pod.Annotations[defaultContainer] = pod.Spec.Containers[0].Name
		}
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, init)
		pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, proxy)
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, tokenVolume(), initVolume())
	return pod
}

// resources are those of both our containers: the init container, which runs alone, then never raises what the pod
// needs. Of what a pod has as a whole (pod-level resources, KEP-2837) we take a share like its other containers, unless
// annotations say otherwise: a request or limit more could exceed the pod's, which would make it invalid.
func resources(pod *corev1.Pod, s *config.Settings) corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{}
	for _, v := range []struct {
		setting  string
		list     *corev1.ResourceList
		name     corev1.ResourceName
		quantity *resource.Quantity
	}{
		{"proxy-cpu-request", &r.Requests, corev1.ResourceCPU, s.CPURequest},
		{"proxy-memory-request", &r.Requests, corev1.ResourceMemory, s.MemoryRequest},
		{"proxy-cpu-limit", &r.Limits, corev1.ResourceCPU, s.CPULimit},
		{"proxy-memory-limit", &r.Limits, corev1.ResourceMemory, s.MemoryLimit},
	} {
		if v.quantity == nil || podLevel(pod, v.name) && !s.Explicit(v.setting) {
			continue
		}
		if *v.list == nil {
			*v.list = corev1.ResourceList{}
		}
		(*v.list)[v.name] = *v.quantity
	}
	return r
}

func podLevel(pod *corev1.Pod, name corev1.ResourceName) bool {
	if pod.Spec.Resources == nil {
		return false
	}
	_, requested := pod.Spec.Resources.Requests[name]
	_, limited := pod.Spec.Resources.Limits[name]
	return requested || limited
}
