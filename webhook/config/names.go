package config

// Prefix starts every label and annotation of Sluice.
const Prefix = "sluice.mesh/"

// InjectKey is the label of a namespace that opts in (Enabled), and the label or annotation of a pod that opts out
// (Disabled).
const InjectKey = Prefix + "inject"

// The values of InjectKey.
const (
	Enabled  = "enabled"
	Disabled = "disabled"
)

// What injection adds to a pod, by name. A pod that has both containers counts as injected.
const (
	InitContainer  = "sluice-init"
	ProxyContainer = "sluice-proxy"
	// TokenVolume holds the proxy's own API token, so that a pod with automountServiceAccountToken: false works.
	TokenVolume = "sluice-token"
	// InitVolume is the init container's scratch space: the lock file of iptables.
	InitVolume = "sluice-init"
)

// SidecarRole is the ClusterRole that lets the proxies of opted-in namespaces read Services and their endpoints.
const SidecarRole = "sluice-sidecar"
