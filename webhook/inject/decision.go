package inject

// Outcome is what becomes of a pod.
type Outcome uint8

const (
	// Skip leaves the pod as it is. It is the zero value.
	Skip Outcome = iota
	// Inject adds the proxy.
	Inject
	// Refuse rejects the pod.
	Refuse
)

// String answers the word used in metrics, logs and events.
func (o Outcome) String() string {
	return [...]string{"skip", "inject", "refuse"}[o]
}

// Reason says why a pod was skipped or refused.
type Reason uint8

const (
	// None is the reason of an injected pod.
	None Reason = iota

	// OptedOut is a pod that says sluice.mesh/inject: disabled.
	OptedOut
	// AlreadyInjected is a pod that has our containers.
	AlreadyInjected
	// StaticPod is the mirror of a pod that a kubelet started by itself; changing it changes nothing.
	StaticPod
	// HostNetwork is a pod in its node's network: rules would act on the whole node.
	HostNetwork
	// Windows is a pod for Windows nodes.
	Windows
	// OtherMesh is a pod that has, or asks for, another mesh's sidecar.
	OtherMesh
	// ProxyUID is a pod that runs as the proxy's user, whose traffic is never redirected.
	ProxyUID
	// RunsToCompletion is a pod that a classic sidecar would keep from ending: one of a Job, or any other whose
	// restartPolicy is not Always.
	RunsToCompletion

	// InvalidAnnotation is a label or annotation of the pod or its namespace that is not understood.
	InvalidAnnotation
	// PodSecurity is a namespace whose Pod Security level refuses the init container's capabilities.
	PodSecurity
	// Conflict is a pod that uses our names or ports for something else.
	Conflict
	// NoServiceCIDRs means that it is not known what to redirect.
	NoServiceCIDRs
)

// String answers the word used in metrics, logs and events.
func (r Reason) String() string {
	return [...]string{"none", "opted-out", "already-injected", "static-pod", "host-network", "windows", "other-mesh",
		"proxy-uid", "runs-to-completion", "invalid-annotation", "pod-security", "conflict", "no-service-cidrs"}[r]
}

// Decision is the answer for one pod.
type Decision struct {
	Outcome Outcome
	Reason  Reason
	// Message is for people: why, and for a refusal the way out. Empty for an injected pod.
	Message string
	// Warnings are shown to whoever creates the pod, who gets it all the same.
	Warnings []string
}
