package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/sluice-mesh/sluice/webhook/config"
)

const enforceLabel = "pod-security.kubernetes.io/enforce"

// podSecurity answers before Pod Security does, which would refuse the capability without saying who asked for it.
// A level it does not know counts as restricted (k8s.io/pod-security-admission, api.PolicyToEvaluate).
func podSecurity(ns config.Namespace) (Decision, bool) {
	level := ns.Labels[enforceLabel]
	if level == "" || level == "privileged" {
		return Decision{}, false
	}
	return refuse(PodSecurity, "namespace %[1]s enforces Pod Security level %[2]q, which refuses the capability NET_ADMIN "+
		"that the init container %[3]s needs to redirect the pod's traffic. Either let the namespace have it (kubectl "+
		"label --overwrite namespace %[1]s %[4]s=privileged), or leave this pod out of the mesh (label %[5]s: %[6]s)",
		ns.Name, level, config.InitContainer, enforceLabel, config.InjectKey, config.Disabled), true
}

// conflict finds what the pod uses for something else.
func conflict(pod *corev1.Pod, s *config.Settings) (Decision, bool) {
	ports := map[int32]string{
		int32(s.Init.ProxyPort): "proxy-port", int32(s.HealthPort): "health-port", int32(s.AdminPort): "admin-port"}
	names := []string{config.InitContainer, config.ProxyContainer}
	problem := ""
	each(pod, func(c *corev1.Container) {
		if problem == "" && slices.Contains(names, c.Name) {
			problem = fmt.Sprintf("the pod has a container %s that is not Sluice's; give it another name", c.Name)
		}
		for _, p := range c.Ports {
			if setting := ports[p.ContainerPort]; problem == "" && setting != "" && p.Protocol != corev1.ProtocolUDP {
				problem = fmt.Sprintf("container %s has port %d, which is the proxy's; the annotation %s%s gives the proxy another",
					c.Name, p.ContainerPort, config.Prefix, setting)
			}
		}
	})
	for _, v := range pod.Spec.Volumes {
		if problem == "" && (v.Name == config.TokenVolume || v.Name == config.InitVolume) {
			problem = fmt.Sprintf("the pod has a volume %s that is not Sluice's; give it another name", v.Name)
		}
	}
	if problem == "" {
		return Decision{}, false
	}
	return refuse(Conflict, "%s, or leave the pod out of the mesh (label %s: %s)", problem,
		config.InjectKey, config.Disabled), true
}

// warnings tells whoever creates the pod what it loses.
func warnings(pod *corev1.Pod, s *config.Settings) []string {
	if !guaranteed(pod) || equal(s.CPURequest, s.CPULimit) && equal(s.MemoryRequest, s.MemoryLimit) {
		return nil
	}
	return []string{"sluice: the pod's quality of service class Guaranteed becomes Burstable with the proxy; to keep it, set " +
		"the annotations sluice.mesh/proxy-cpu-request and -limit to one value, and sluice.mesh/proxy-memory-request and " +
		"-limit to one value"}
}

func equal(request, limit *resource.Quantity) bool {
	return request != nil && limit != nil && request.Cmp(*limit) == 0
}

// guaranteed says whether every container has limits for CPU and memory, and requests equal to them or defaulted to
// them. Pods with resources of their own (KEP-2837) keep their class whatever their containers have.
func guaranteed(pod *corev1.Pod) bool {
	if pod.Spec.Resources != nil {
		return false
	}
	all := len(pod.Spec.Containers) > 0
	each(pod, func(c *corev1.Container) {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			limit, limited := c.Resources.Limits[name]
			request, requested := c.Resources.Requests[name]
			all = all && limited && !limit.IsZero() && (!requested || request.Cmp(limit) == 0)
		}
	})
	return all
}
