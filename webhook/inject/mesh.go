package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluice-mesh/sluice/webhook/config"
)

// mesh is how another mesh's sidecar shows. Two sets of redirections in one pod would each take the other's traffic.
type mesh struct {
	name       string
	containers []string
	images     []string          // part of the image's name, without registry and tag
	status     map[string]string // annotation of a pod that was injected, with its value; "" is any
	pod        map[string]string // label or annotation of a pod that asks for injection
	namespace  map[string]string // the same of its namespace
}

var meshes = []mesh{
	{"Istio", []string{"istio-proxy", "istio-init", "istio-validation"}, []string{"istio/proxyv2"},
		map[string]string{"sidecar.istio.io/status": ""},
		map[string]string{"sidecar.istio.io/inject": "true", "istio.io/dataplane-mode": "ambient"},
		map[string]string{"istio-injection": "enabled", "istio.io/dataplane-mode": "ambient", "istio.io/rev": ""}},
	{"Linkerd", []string{"linkerd-proxy", "linkerd-init", "linkerd-network-validator"}, []string{"linkerd/proxy"},
		map[string]string{"linkerd.io/proxy-version": ""},
		map[string]string{"linkerd.io/inject": "enabled|ingress"},
		map[string]string{"linkerd.io/inject": "enabled|ingress"}},
	{"Kuma", []string{"kuma-sidecar", "kuma-init"}, []string{"kumahq/kuma-dp"},
		map[string]string{"kuma.io/sidecar-injected": "true"},
		map[string]string{"kuma.io/sidecar-injection": "enabled|true"},
		map[string]string{"kuma.io/sidecar-injection": "enabled|true"}},
	{"Consul", []string{"consul-dataplane", "consul-connect-inject-init"}, []string{"consul-dataplane"},
		map[string]string{"consul.hashicorp.com/connect-inject-status": "injected"},
		map[string]string{"consul.hashicorp.com/connect-inject": "true"}, nil},
	{"Envoy", []string{"envoy-sidecar"}, nil, nil, nil, nil},
}

// otherMesh answers a sentence on what was found of another mesh. What a pod asks for counts over what its namespace
// does.
func otherMesh(pod *corev1.Pod, ns config.Namespace) (found string, ok bool) {
	for _, m := range meshes {
		each(pod, func(c *corev1.Container) {
			if slices.Contains(m.containers, c.Name) || slices.ContainsFunc(m.images, imageIs(c.Image)) {
				found = fmt.Sprintf("container %s with image %s is %s's", c.Name, c.Image, m.name)
			}
		})
		if found != "" {
			return found, true
		}
		if key, ok := asks(m.status, pod.Annotations); ok {
			return fmt.Sprintf("annotation %s of the pod says that it has %s's sidecar", key, m.name), true
		}
		own := maps.Clone(pod.Labels)
		if own == nil {
			own = map[string]string{}
		}
		maps.Copy(own, pod.Annotations)
		if key, ok := asks(m.pod, own); ok {
			return fmt.Sprintf("%s of the pod asks for %s's sidecar", key, m.name), true
		}
		if slices.ContainsFunc(slices.Collect(maps.Keys(m.pod)), func(key string) bool { return own[key] != "" }) {
			continue // the pod says no, whatever its namespace says
		}
		of := maps.Clone(ns.Labels)
		if of == nil {
			of = map[string]string{}
		}
		maps.Copy(of, ns.Annotations)
		if key, ok := asks(m.namespace, of); ok {
			return fmt.Sprintf("%s of namespace %s asks for %s's sidecar", key, ns.Name, m.name), true
		}
	}
	return "", false
}

// asks answers the first wanted key that values has, with one of the values wanted for it.
func asks(wanted, values map[string]string) (string, bool) {
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		value, ok := values[key]
		if ok && (wanted[key] == "" || slices.Contains(strings.Split(wanted[key], "|"), value)) {
			return key, true
		}
	}
	return "", false
}

// imageIs matches the repository's last elements, so that mirrors of an image count too.
func imageIs(image string) func(string) bool {
	repository, _, _ := strings.Cut(image, "@")
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	return func(part string) bool { return strings.HasSuffix("/"+repository, "/"+part) }
}
