package config

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	initconfig "github.com/sluice-mesh/sluice/initcontainer/config"
)

// NativeMode says which kind of sidecar is injected.
type NativeMode string

const (
	// NativeAuto is native where every node knows native sidecars (KEP-753, on since Kubernetes 1.29), else classic.
	NativeAuto NativeMode = "auto"
	// NativeOn is an init container with restartPolicy: Always.
	NativeOn NativeMode = "on"
	// NativeOff is an ordinary container.
	NativeOff NativeMode = "off"
)

// Settings are what an injected pod gets. Nil and empty mean "not set" throughout.
type Settings struct {
	// Image holds all programs; required.
	Image           string
	ImagePullPolicy corev1.PullPolicy

	NativeSidecar NativeMode
	LogLevel      string
	Loops         int // event loops of the proxy; 0 leaves it to the proxy
	// MaxConnections, MaxRequests and MaxPending are the proxy's limits; 0 leaves them to the proxy.
	MaxConnections, MaxRequests, MaxPending int
	MaxStreams                              int // HTTP/2 streams on one connection of the application; 0 leaves it to the proxy
	PProf                                   bool

	// Init is what the init container reads, the proxy's port and user among it. RedirectCIDRs empty stands for the
	// cluster's ServiceCIDRs.
	Init initconfig.Config

	HealthPort uint16 // all addresses: /livez, /readyz, /metrics
	AdminPort  uint16 // loopback

	// Resources of the proxy container; the init container asks for no more. Nil sets none.
	CPURequest, CPULimit       *resource.Quantity
	MemoryRequest, MemoryLimit *resource.Quantity

	// explicit says which settings an annotation has set, by name.
	explicit map[string]bool
}

// Explicit says whether an annotation of the pod or its namespace sets the name (without Prefix), as against the
// webhook's configuration.
func (s *Settings) Explicit(name string) bool { return s.explicit[name] }

// Defaults answers the settings of a webhook whose flags change nothing; Image is left empty.
//
// The proxy asks for 50 m of CPU and 64 Mi, and may use 256 Mi; no CPU limit, because throttling a proxy delays every
// request of its pod.
func Defaults() Settings {
	return Settings{
		ImagePullPolicy: corev1.PullIfNotPresent,
		NativeSidecar:   NativeAuto,
		LogLevel:        "info",
		Init:            initconfig.Default(),
		HealthPort:      15302,
		AdminPort:       15303,
		CPURequest:      quantity("50m"),
		MemoryRequest:   quantity("64Mi"),
		MemoryLimit:     quantity("256Mi"),
	}
}

func quantity(s string) *resource.Quantity {
	q := resource.MustParse(s)
	return &q
}

// Check answers what single settings cannot know: whether they fit together.
func (s *Settings) Check() error {
	if s.Init.ProxyPort == s.HealthPort || s.Init.ProxyPort == s.AdminPort || s.HealthPort == s.AdminPort {
		return fmt.Errorf("proxy-port %d, health-port %d and admin-port %d must differ",
			s.Init.ProxyPort, s.HealthPort, s.AdminPort)
	}
	if len(s.Init.RedirectCIDRs) > 0 {
		if err := s.Init.Check(); err != nil {
			return err
		}
	}
	if err := ordered("cpu", s.CPURequest, s.CPULimit); err != nil {
		return err
	}
	return ordered("memory", s.MemoryRequest, s.MemoryLimit)
}

func ordered(resourceName string, request, limit *resource.Quantity) error {
	if request == nil || limit == nil || request.Cmp(*limit) <= 0 {
		return nil
	}
	return fmt.Errorf("proxy-%s-request %s is more than proxy-%s-limit %s", resourceName, request, resourceName, limit)
}
