package inject

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// Request is all that a decision depends on.
type Request struct {
	Pod       *corev1.Pod // not changed
	Namespace config.Namespace
	Defaults  config.Settings // of the webhook

	// ServiceCIDRs are the cluster's; they are redirected unless an annotation says otherwise.
	ServiceCIDRs []netip.Prefix
	// NativeSidecars says whether every node of the cluster knows native sidecars.
	NativeSidecars bool
	// IgnorePodSecurity leaves Pod Security to the API server: for clusters that exempt users or runtime classes from it.
	IgnorePodSecurity bool
}

// Pod answers the pod to create: r.Pod itself unless the outcome is Inject.
func Pod(r Request) (*corev1.Pod, Decision) {
	if d, ok := skip(&r); ok {
		return r.Pod, d
	}
	settings, err := config.ForPod(r.Defaults, r.Namespace, r.Pod.Annotations)
	if err != nil {
		return r.Pod, refuse(InvalidAnnotation, "%v", err)
	}
	native := settings.NativeSidecar == config.NativeOn ||
		settings.NativeSidecar == config.NativeAuto && r.NativeSidecars
	if !native {
		if d, ok := skipClassic(r.Pod); ok {
			return r.Pod, d
		}
	}
	if !r.IgnorePodSecurity {
		if d, ok := podSecurity(r.Namespace); ok {
			return r.Pod, d
		}
	}
	if d, ok := conflict(r.Pod, &settings); ok {
		return r.Pod, d
	}
	if len(settings.Init.RedirectCIDRs) == 0 {
		settings.Init.RedirectCIDRs = r.ServiceCIDRs
	}
	if len(settings.Init.RedirectCIDRs) == 0 {
		return r.Pod, refuse(NoServiceCIDRs, "it is not known which addresses Services have here: the API server has no "+
			"ServiceCIDR objects (networking.k8s.io/v1) and the webhook's --service-cidrs is not set")
	}
	if err := settings.Check(); err != nil { // now that the addresses are known
		return r.Pod, refuse(InvalidAnnotation, "settings of the pod: %v", err)
	}
	return add(r.Pod, &settings, native), Decision{Outcome: Inject, Warnings: warnings(r.Pod, &settings)}
}

func refuse(reason Reason, format string, args ...any) Decision {
	return Decision{Outcome: Refuse, Reason: reason, Message: "sluice: " + fmt.Sprintf(format, args...)}
}

func skipped(reason Reason, format string, args ...any) (Decision, bool) {
	return Decision{Outcome: Skip, Reason: reason, Message: fmt.Sprintf(format, args...)}, true
}
