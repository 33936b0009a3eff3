// Package manifest writes a Service and its EndpointSlices as the API server would show them, for sidecars that read
// files (--discovery=files). It stands in for the cluster in the demo and in the network tests.
package manifest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Service is a Service with its endpoints, which serve every port of it.
type Service struct {
	Name        string
	Namespace   string // empty is "default"
	Annotations map[string]string
	ClusterIPs  []netip.Addr // the first family is the primary one
	Ports       []Port
	Endpoints   []Endpoint // of any family; they are sorted into a slice for each
}

// Port is a port of the Service.
type Port struct {
	Name        string // may be empty when there is one port
	AppProtocol string // empty is undeclared
	Port        uint16
	Target      uint16 // of the pods
}

// Endpoint is a ready pod.
type Endpoint struct {
	Pod  string
	Addr netip.Addr
}

// Write puts the manifests into the directory as NAME.json, in place of what was there; readers see the old file or the
// new one, never a part.
func (s Service) Write(dir string) error {
	text, err := s.JSON()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, s.Name+".json")
	// The name's ending keeps the new file from being read before it is whole.
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// JSON answers the Service and a slice for each address family as JSON documents, one behind the other.
func (s Service) JSON() ([]byte, error) {
	var text []byte
	for _, object := range append([]any{s.service()}, s.slices()...) {
		one, err := json.MarshalIndent(object, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("manifest: %s: %w", s.Name, err)
		}
		text = append(append(text, one...), '\n')
	}
	return text, nil
}

func (s Service) namespace() string { return cmp.Or(s.Namespace, metav1.NamespaceDefault) }

func (s Service) service() *corev1.Service {
	svc := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.namespace(), Annotations: s.Annotations},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP},
	}
	for i, a := range s.ClusterIPs {
		if i == 0 {
			svc.Spec.ClusterIP = a.String()
		}
		family := corev1.IPv4Protocol
		if a.Is6() {
			family = corev1.IPv6Protocol
		}
		svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, a.String())
		svc.Spec.IPFamilies = append(svc.Spec.IPFamilies, family)
	}
	for _, p := range s.Ports {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: p.Name, Protocol: corev1.ProtocolTCP,
			AppProtocol: optional(p.AppProtocol), Port: int32(p.Port), TargetPort: intstr.FromInt32(int32(p.Target))})
	}
	return svc
}

// slices answers one EndpointSlice for each family that the Service has; without endpoints it is there, and empty.
func (s Service) slices() (all []any) {
	for _, cip := range s.ClusterIPs {
		family := discoveryv1.AddressTypeIPv4
		if cip.Is6() {
			family = discoveryv1.AddressTypeIPv6
		}
		slice := &discoveryv1.EndpointSlice{
			TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
			ObjectMeta: metav1.ObjectMeta{Name: s.Name + "-" + string(family[2:]), Namespace: s.namespace(),
				Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
			AddressType: family,
			Endpoints:   []discoveryv1.Endpoint{},
		}
		for _, p := range s.Ports {
			slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: new(corev1.ProtocolTCP),
				AppProtocol: optional(p.AppProtocol), Port: new(int32(p.Target))})
		}
		for _, e := range s.Endpoints {
			if e.Addr.Is6() != cip.Is6() {
				continue
			}
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{e.Addr.String()},
				Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
				TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: s.namespace(), Name: e.Pod}})
		}
		all = append(all, slice)
	}
	return all
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
