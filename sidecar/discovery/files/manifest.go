package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubejson "sigs.k8s.io/json"

	"github.com/sluice-mesh/sluice/sidecar/discovery/assemble"
	manifests "github.com/sluice-mesh/sluice/sidecar/manifest"
)

// name is an object's namespace and name.
type name struct{ namespace, name string }

func (n name) String() string { return n.namespace + "/" + n.name }

// manifest is what a file says.
type manifest struct {
	services []assemble.Service
	slices   []ownedSlice
	sets     []ownedSet
	data     []ownedData
	pods     []pod
}

// ownedSlice is an EndpointSlice and the Service it belongs to.
type ownedSlice struct {
	self, service name
	slice         *assemble.Slice
}

// parse reads a file. With an error the file is not to be used at all; remarks are problems that leave the rest of the
// file usable. Both name the file, the document, the field and the value.
func parse(file string, data []byte, log *slog.Logger) (m manifest, remarks []string, err error) {
	list, err := manifests.Split(file, data)
	if err != nil {
		return m, nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, d := range list {
		p := parser{m: &m, log: log.With("file", file, "document", d.Number)}
		err := p.object(d.JSON, metav1.TypeMeta{})
		place := fmt.Sprintf("%s: document %d: ", file, d.Number)
		if err != nil {
			return manifest{}, nil, fmt.Errorf("%s%w", place, err)
		}
		for _, r := range p.remarks {
			remarks = append(remarks, place+r)
		}
	}
	return m, remarks, nil
}

// parser reads the objects of one document.
type parser struct {
	m       *manifest
	log     *slog.Logger
	remarks []string
}

func (p *parser) remark(what string, problems ...error) {
	for _, err := range problems {
		p.remarks = append(p.remarks, what+": "+err.Error())
	}
}

// object reads one object; a List's items may leave out what they are.
func (p *parser) object(raw json.RawMessage, implied metav1.TypeMeta) error {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           json.RawMessage `json:"items"`
	}
	head.TypeMeta = implied
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(raw, &head); err != nil {
		return describe(err, raw)
	}
	group, _, _ := strings.Cut(head.APIVersion, "/")
	switch {
	case head.Kind == "":
		return errors.New("kind: missing")
	case head.APIVersion == "v1" && head.Kind == "List":
		return p.list(head.Items, metav1.TypeMeta{})
	case head.APIVersion == "v1" && (head.Kind == "ServiceList" || head.Kind == "ConfigMapList" || head.Kind == "PodList"),
		head.APIVersion == "apps/v1" && head.Kind == "StatefulSetList",
		head.APIVersion == "discovery.k8s.io/v1" && head.Kind == "EndpointSliceList":
		return p.list(head.Items, metav1.TypeMeta{APIVersion: head.APIVersion, Kind: strings.TrimSuffix(head.Kind, "List")})
	case head.APIVersion == "v1" && head.Kind == "Service":
		return p.service(raw)
	case head.APIVersion == "discovery.k8s.io/v1" && head.Kind == "EndpointSlice":
		return p.slice(raw)
	case head.APIVersion == "apps/v1" && head.Kind == "StatefulSet":
		return p.statefulSet(raw)
	case head.APIVersion == "v1" && head.Kind == "ConfigMap":
		return p.configMap(raw)
	case head.APIVersion == "v1" && head.Kind == "Pod":
		return p.pod(raw)
	case group == "discovery.k8s.io" && head.Kind == "EndpointSlice":
		return fmt.Errorf("apiVersion: %q is not read; allowed is discovery.k8s.io/v1", head.APIVersion)
	}
	p.log.Debug("passed over: nothing of a Service, its endpoints, its shard map or its weights", "kind", head.Kind, "apiVersion", head.APIVersion)
	return nil
}

func (p *parser) list(raw json.RawMessage, implied metav1.TypeMeta) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); len(raw) > 0 && err != nil {
		return fmt.Errorf("items: %w", describe(err, raw))
	}
	for i, item := range items {
		if err := p.object(item, implied); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
	}
	return nil
}

func (p *parser) service(raw json.RawMessage) error {
	var in corev1.Service
	unknown, err := kubejson.UnmarshalStrict(raw, &in)
	if err != nil {
		return fmt.Errorf("%s: %w", "Service", describe(err, raw))
	}
	n, err := nameOf(in.ObjectMeta)
	if err != nil {
		return fmt.Errorf("%s: %w", "Service", err)
	}
	in.Namespace = n.namespace
	what := "Service " + n.String()
	s, problems := assemble.ParseService(&in)
	for _, err := range problems {
		if !isSetting(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	p.remark(what, append(unknown, problems...)...)
	if len(s.Addrs) == 0 && in.Spec.ClusterIP == "" && in.Spec.Type != corev1.ServiceTypeExternalName {
		p.remark(what, errors.New("spec.clusterIP: missing; without an API server nobody gives the Service an address but its file"))
	}
	p.m.services = append(p.m.services, s)
	return nil
}

func (p *parser) slice(raw json.RawMessage) error {
	var in discoveryv1.EndpointSlice
	unknown, err := kubejson.UnmarshalStrict(raw, &in)
	if err != nil {
		return fmt.Errorf("%s: %w", "EndpointSlice", describe(err, raw))
	}
	n, err := nameOf(in.ObjectMeta)
	if err != nil {
		return fmt.Errorf("%s: %w", "EndpointSlice", err)
	}
	what := "EndpointSlice " + n.String()
	s, problems := assemble.ParseSlice(&in)
	if refused := slices.DeleteFunc(slices.Clone(problems), isSetting); len(refused) > 0 {
		return fmt.Errorf("%s: %w", what, errors.Join(refused...))
	}
	p.remark(what, append(unknown, problems...)...)
	service := in.Labels[discoveryv1.LabelServiceName]
	if service == "" {
		p.remark(what, fmt.Errorf("metadata.labels[%s]: missing; the slice belongs to no Service", discoveryv1.LabelServiceName))
		return nil
	}
	p.m.slices = append(p.m.slices, ownedSlice{self: n, service: name{n.namespace, service}, slice: s})
	return nil
}

// isSetting says whether a problem is one of our annotations', with which an object is used all the same.
func isSetting(err error) bool { return errors.As(err, new(assemble.SettingError)) }

// nameOf answers an object's name; the namespace is "default" where none is said.
func nameOf(meta metav1.ObjectMeta) (name, error) {
	n := name{meta.Namespace, meta.Name}
	if n.namespace == "" {
		n.namespace = metav1.NamespaceDefault
	}
	if n.name == "" {
		return n, errors.New("metadata.name: missing")
	}
	return n, nil
}

// describe says of a decoding error what a person looks for: the field, its value and what is allowed.
func describe(err error, raw json.RawMessage) error {
	wrong := (*json.UnmarshalTypeError)(nil)
	switch {
	case !errors.As(err, &wrong):
		return err
	case wrong.Field == "":
		return fmt.Errorf("%s is not a value of the right type", valueBefore(raw, int(wrong.Offset)))
	}
	return fmt.Errorf("%s: %s is not a value of type %s", wrong.Field, valueBefore(raw, int(wrong.Offset)), wrong.Type)
}

// valueBefore answers the JSON value that ends at an offset, or begins there, shortened.
func valueBefore(raw json.RawMessage, offset int) string {
	const most = 40 // bytes shown
	offset = min(max(offset, 1), len(raw))
	var value []byte
	switch last := raw[offset-1]; last {
	case '{', '[':
		var whole json.RawMessage
		if json.NewDecoder(bytes.NewReader(raw[offset-1:])).Decode(&whole) == nil {
			value = whole
		}
	case '"':
		start := offset - 1
		for start > 0 && (raw[start-1] != '"' || start > 1 && raw[start-2] == '\\') {
			start--
		}
		value = raw[max(start-1, 0):offset]
	default:
		value = raw[bytes.LastIndexAny(raw[:offset], ":,[ ")+1 : offset]
	}
	if len(value) > most {
		return string(value[:most]) + "…"
	}
	return string(value)
}
