package inject

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// skip answers why a pod is left alone, or refused for what it says about injection, whatever the settings are.
func skip(r *Request) (Decision, bool) {
	pod := r.Pod
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return skipped(StaticPod, "a static pod is started by its kubelet and cannot be changed")
	}
	switch choice, err := config.Choice(pod.Labels, pod.Annotations); {
	case choice == config.Disabled:
		return skipped(OptedOut, "the pod says %s: %s", config.InjectKey, config.Disabled)
	case err != nil:
		return refuse(InvalidAnnotation, "%v", err), true
	case Injected(pod):
		return skipped(AlreadyInjected, "the pod has the containers %s and %s", config.InitContainer, config.ProxyContainer)
	case pod.Spec.HostNetwork:
		return skipped(HostNetwork, "the pod uses its node's network (hostNetwork), where rules would act on the whole node")
	case windows(pod):
		return skipped(Windows, "the pod is for Windows nodes")
	}
	if found, ok := otherMesh(pod, r.Namespace); ok {
		return skipped(OtherMesh, "%s", found)
	}
	proxyUID := r.Defaults.Init.ProxyUID
	if container, ok := runsAs(pod, int64(proxyUID)); ok {
		return skipped(ProxyUID, "container %s runs as user %d, the proxy's own, whose traffic is never redirected",
			container, proxyUID)
	}
	return Decision{}, false
}

// skipClassic answers why a pod cannot have a classic sidecar, which runs until it is killed.
func skipClassic(pod *corev1.Pod) (Decision, bool) {
	const so = "%s, and would not end while a classic sidecar runs; native sidecars need Kubernetes 1.29"
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "Job" {
			return skipped(RunsToCompletion, so, "the pod is of Job "+owner.Name)
		}
	}
	if p := cmp.Or(pod.Spec.RestartPolicy, corev1.RestartPolicyAlways); p != corev1.RestartPolicyAlways {
		return skipped(RunsToCompletion, so, "the pod's restartPolicy is "+string(p))
	}
	return Decision{}, false
}

// Injected says whether the pod has our containers, native or classic. Names decide, not an annotation: a copy of an
// injected pod (kubectl debug --copy-to) keeps its containers but not its annotations.
func Injected(pod *corev1.Pod) bool {
	init, proxy := 0, 0
	each(pod, func(c *corev1.Container) {
		switch c.Name {
		case config.InitContainer:
			init++
		case config.ProxyContainer:
			proxy++
		}
	})
	return init == 1 && proxy == 1
}

func windows(pod *corev1.Pod) bool {
	if os := pod.Spec.OS; os != nil {
		return os.Name == corev1.Windows
	}
	return pod.Spec.NodeSelector[corev1.LabelOSStable] == string(corev1.Windows)
}

func runsAs(pod *corev1.Pod, user int64) (container string, found bool) {
	var inherited *int64
	if sc := pod.Spec.SecurityContext; sc != nil {
		inherited = sc.RunAsUser
	}
	each(pod, func(c *corev1.Container) {
		uid := inherited
		if sc := c.SecurityContext; sc != nil && sc.RunAsUser != nil {
			uid = sc.RunAsUser
		}
		if uid != nil && *uid == user && !found {
			container, found = c.Name, true
		}
	})
	return container, found
}

// each calls f for every init container and container. Ephemeral ones cannot be there when a pod is created.
func each(pod *corev1.Pod, f func(*corev1.Container)) {
	for i := range pod.Spec.InitContainers {
		f(&pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		f(&pod.Spec.Containers[i])
	}
}
