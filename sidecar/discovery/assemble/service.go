package assemble

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Service is what is kept of a Service.
type Service struct {
	Namespace string
	Name      string
	// Addrs are its cluster IPs, one for each address family; none for a headless or an ExternalName Service.
	Addrs []netip.Addr
	// Ports are its TCP ports; the numbers are distinct.
	Ports []ServicePort
	// Rules are what its annotations ask for; nil, and wrong ones as far as they are, stand for the defaults.
	Rules *rules.Rules
	// Selector is the label selector of its pods; "" where it has none, or selects nothing.
	Selector string
	// Reason is Found, or why the Service's connections pass through.
	Reason discovery.Reason

	// wrong are its annotations where some of them are wrong, to be read again by the side of what was right before.
	wrong map[string]string
}

// SettingError is a problem with one of our own annotations: the Service is used all the same, with the last right value.
type SettingError struct{ Setting *rules.Error }

func (e SettingError) Error() string {
	return fmt.Sprintf("metadata.annotations[%s]: %s", e.Setting.Annotation, e.Setting.Problem)
}

// ServicePort is one TCP port of a Service.
type ServicePort struct {
	Name     string
	Port     uint16
	Protocol cluster.Protocol
}

// rulesAfter answers the Service's rules where those before it were last, which may be nil: a wrong value leaves the last right
// one in force.
func (s *Service) rulesAfter(last *rules.Rules) *rules.Rules {
	switch {
	case s.wrong != nil:
		r, _ := rules.Parse(s.wrong, last)
		return r
	case last != nil && rules.Equal(s.Rules, last):
		return last
	case s.Rules == nil:
		return rules.Default()
	}
	return s.Rules
}

// ParseService keeps what matters of a Service. Each problem names a field, its value and what is allowed; what is wrong
// is left out, the rest is used.
func ParseService(in *corev1.Service) (Service, []error) {
	s := Service{Namespace: in.Namespace, Name: in.Name, Selector: labels.Set(in.Spec.Selector).String()}
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

	var refused []*rules.Error
	if s.Rules, refused = rules.Parse(in.Annotations, nil); len(refused) > 0 {
		s.wrong = maps.Clone(in.Annotations)
		maps.DeleteFunc(s.wrong, func(name, _ string) bool { return !strings.HasPrefix(name, rules.Prefix) })
	}
	for _, e := range refused {
		problems = append(problems, SettingError{e})
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
