package assemble

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Slice is what is kept of an EndpointSlice. It is immutable.
type Slice struct {
	Name    string
	created int64 // Unix seconds; tells which of two slices is the younger
	weight  Weight

	ports   []slicePort
	records []record // sorted by address
}

// slicePort is a port that all endpoints of a slice serve. Its name is the Service port's; its number is the pods'.
type slicePort struct {
	name string
	port uint16
}

// record is one endpoint of a slice.
type record struct {
	addr      netip.Addr
	condition condition
	isPod     bool

	uid, name, hostname string
	location            unique.Handle[cluster.Location]
	hints               unique.Handle[cluster.Hints]
}

// condition orders endpoints by how good they are for new requests.
type condition uint8

const (
	unusable    condition = iota // neither of the below
	terminating                  // serving while terminating: used when no endpoint is ready (KEP-1669)
	ready
)

// conditionOf reads an endpoint's conditions; nil means true for ready and serving, and false for terminating.
func conditionOf(c discoveryv1.EndpointConditions) condition {
	switch {
	case c.Ready == nil || *c.Ready:
		return ready
	case (c.Serving == nil || *c.Serving) && c.Terminating != nil && *c.Terminating:
		return terminating
	}
	return unusable
}

// compareTrust orders two sayings of one address by whom to believe: the better condition, else the younger slice.
func (c candidate) compareTrust(other candidate) int {
	return cmp.Or(
		cmp.Compare(c.condition, other.condition),
		cmp.Compare(c.slice.created, other.slice.created),
		strings.Compare(c.slice.Name, other.slice.Name),
		strings.Compare(c.uid, other.uid))
}

// ParseSlice keeps what matters of an EndpointSlice: TCP ports with a number, and each endpoint's first address, as
// no meaning is defined for further ones. Slices of host names (address type FQDN) keep nothing. Each problem names a
// field, its value and what is allowed; what is wrong is left out, the rest is used. Those of annotations are a SettingError each, and come first.
func ParseSlice(in *discoveryv1.EndpointSlice) (*Slice, []error) {
	s := &Slice{Name: in.Name, created: in.CreationTimestamp.Unix(), weight: ParseWeight(in.Annotations)}
	var problems []error
	for _, e := range rules.CheckSlice(in.Annotations) {
		problems = append(problems, SettingError{e})
	}
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }

	switch in.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	case discoveryv1.AddressTypeFQDN:
		return s, nil
	default:
		problem("addressType: %q is unknown; allowed are IPv4, IPv6, FQDN", in.AddressType)
		return s, problems
	}

	for i, p := range in.Ports {
		if p.Port == nil || p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP {
			continue
		}
		if *p.Port < 1 || *p.Port > 65535 {
			problem("ports[%d].port: %d is not a port (1 to 65535)", i, *p.Port)
			continue
		}
		port := slicePort{port: uint16(*p.Port)}
		if p.Name != nil {
			port.name = *p.Name
		}
		s.ports = append(s.ports, port)
	}

	s.records = make([]record, 0, len(in.Endpoints))
	for i, e := range in.Endpoints {
		if len(e.Addresses) == 0 {
			problem("endpoints[%d].addresses: there must be one", i)
			continue
		}
		addr, err := netip.ParseAddr(e.Addresses[0])
		if addr = addr.Unmap(); err != nil || addr.Zone() != "" || addr.Is4() != (in.AddressType == discoveryv1.AddressTypeIPv4) {
			problem("endpoints[%d].addresses[0]: %q is not an %s address", i, e.Addresses[0], in.AddressType)
			continue
		}
		r := record{addr: addr, condition: conditionOf(e.Conditions)}
		if ref := e.TargetRef; ref != nil {
			r.uid, r.name, r.isPod = string(ref.UID), ref.Name, ref.Kind == "Pod" || ref.Kind == ""
		}
		r.hostname, r.location = deref(e.Hostname), unique.Make(cluster.Location{Node: deref(e.NodeName), Zone: deref(e.Zone)})
		r.hints = hintsOf(e.Hints)
		s.records = append(s.records, r)
	}
	slices.SortStableFunc(s.records, func(a, b record) int { return a.addr.Compare(b.addr) })
	return s, problems
}

var noHints = unique.Make(cluster.Hints{})

// hintsOf keeps for which zones and nodes the control plane means an endpoint (topology-aware routing, trafficDistribution).
func hintsOf(h *discoveryv1.EndpointHints) unique.Handle[cluster.Hints] {
	if h == nil {
		return noHints
	}
	var zones, nodes []string
	for _, z := range h.ForZones {
		zones = append(zones, z.Name)
	}
	for _, n := range h.ForNodes {
		nodes = append(nodes, n.Name)
	}
	return unique.Make(cluster.Hints{Zones: strings.Join(zones, " "), Nodes: strings.Join(nodes, " ")})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
