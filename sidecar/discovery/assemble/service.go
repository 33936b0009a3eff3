package assemble

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
)

// PolicyAnnotation names a Service's balancing policy.
const PolicyAnnotation = "sluice.mesh/policy"

// Service is what is kept of a Service.
type Service struct {
	Namespace string
	Name      string
	// Addrs are its cluster IPs, one for each address family; none for a headless or an ExternalName Service.
	Addrs []netip.Addr
	// Ports are its TCP ports; the numbers are distinct.
	Ports []ServicePort
	// Policy is a known policy, or "" where the Service names none or, with BadPolicy, a wrong one.
	Policy    string
	BadPolicy bool
	// Reason is Found, or why the Service's connections pass through.
	Reason discovery.Reason
}

// SettingError is a problem with one of our own annotations: the Service is used all the same, with the last right value.
type SettingError struct {
	Annotation string
	Err        error
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("metadata.annotations[%s]: %v", e.Annotation, e.Err)
}

// Unwrap answers what is wrong with the value.
func (e *SettingError) Unwrap() error { return e.Err }

// ServicePort is one TCP port of a Service.
type ServicePort struct {
	Name     string
	Port     uint16
	Protocol cluster.Protocol
}

// ParseService keeps what matters of a Service. Each problem names a field, its value and what is allowed; what is wrong
// is left out, the rest is used.
func ParseService(in *corev1.Service) (Service, []error) {
	s := Service{Namespace: in.Namespace, Name: in.Name}
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	// spec.clusterIPs is missing where an old API server or a person wrote the object.
	ips := in.Spec.ClusterIPs
	field := func(i int) string { return fmt.Sprintf("spec.clusterIPs[%d]", i) }
	if len(ips) == 0 && in.Spec.ClusterIP != "" {
		ips, field = []string{in.Spec.ClusterIP}, func(int) string { return "spec.clusterIP" }
	}
	if in.Spec.Type != corev1.ServiceTypeExternalName {
		for i, ip := range ips {
			if ip == corev1.ClusterIPNone || ip == "" {
				continue
			}
			addr, err := netip.ParseAddr(ip)
			if err != nil || addr.Zone() != "" {
				problem("%s: %q is not an IP address", field(i), ip)
				continue
			}
			if addr = addr.Unmap(); !slices.Contains(s.Addrs, addr) {
				s.Addrs = append(s.Addrs, addr)
			}
		}
	}

	for i, p := range in.Spec.Ports {
		if p.Protocol != "" && p.Protocol != corev1.ProtocolTCP {
			continue
		}
		if p.Port < 1 || p.Port > 65535 {
			problem("spec.ports[%d].port: %d is not a port (1 to 65535)", i, p.Port)
			continue
		}
		port := ServicePort{Name: p.Name, Port: uint16(p.Port), Protocol: ProtocolOf(p.AppProtocol, p.Name)}
		if slices.ContainsFunc(s.Ports, func(o ServicePort) bool { return o.Port == port.Port }) {
			problem("spec.ports[%d].port: TCP port %d is there already; ports must be distinct", i, p.Port)
			continue
		}
		s.Ports = append(s.Ports, port)
	}

	if policy, ok := in.Annotations[PolicyAnnotation]; ok {
		s.Policy = policy
		if err := balancer.Check(policy); err != nil {
			s.Policy, s.BadPolicy = "", true
			problems = append(problems, &SettingError{PolicyAnnotation, err})
		}
	}

	switch {
	case in.Labels["service.kubernetes.io/service-proxy-name"] != "":
		s.Reason = discovery.OtherProxy
	case in.Spec.SessionAffinity == corev1.ServiceAffinityClientIP:
		s.Reason = discovery.SessionAffinity
	case in.Spec.InternalTrafficPolicy != nil && *in.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal:
		s.Reason = discovery.NodeLocal
	}
	return s, problems
}
