// Package check looks for wrong labels and annotations of Sluice in manifests, with the code by which the webhook admits objects
// and the sidecars read them.
package check

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/manifest"
	"github.com/sluice-mesh/sluice/webhook/config"
)

// Finding is something that is wrong.
type Finding struct {
	File   string
	Object string // "Service shop/cart", or "document 3" where that cannot be said
	Err    error
}

// String is one line.
func (f Finding) String() string { return fmt.Sprintf("%s: %s: %v", f.File, f.Object, f.Err) }

// Tally is what was looked at.
type Tally struct {
	Objects int // of any kind
	Ours    int // of them, those with labels or annotations of Sluice
}

// metadata is what matters of any object's.
type metadata struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	Generate    string            `json:"generateName"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func (m metadata) ours() bool {
	for _, of := range []map[string]string{m.Labels, m.Annotations} {
		for name := range of {
			if strings.HasPrefix(name, config.Prefix) {
				return true
			}
		}
	}
	return false
}

// template is the part of a workload's spec that becomes pods.
type template struct {
	Metadata metadata `json:"metadata"`
}

// object is what matters of an object of any kind.
type object struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metadata          `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
	Spec       struct {
		Template    *template `json:"template"`
		JobTemplate *struct {
			Spec struct {
				Template *template `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

// File looks through a manifest, and notes what tables of keys are in it. The error says that it cannot be read.
func File(name string, data []byte, tables *Tables) (findings []Finding, tally Tally, err error) {
	list, err := manifest.Split(name, data)
	if err != nil {
		return nil, Tally{}, fmt.Errorf("%s: %w", name, err)
	}
	for _, d := range list {
		l := look{file: name, place: fmt.Sprintf("document %d", d.Number), tables: tables}
		l.object(d.JSON, "")
		findings = append(findings, l.findings...)
		tally.Objects += l.tally.Objects
		tally.Ours += l.tally.Ours
	}
	return findings, tally, nil
}

// look is at one document.
type look struct {
	file, place string
	tables      *Tables
	findings    []Finding
	tally       Tally
}

func (l *look) find(place string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			l.find(place, e)
		}
		return
	}
	if err != nil {
		l.findings = append(l.findings, Finding{l.file, place, err})
	}
}

// object looks at one object; the items of a ServiceList may leave out what they are.
func (l *look) object(raw json.RawMessage, implied string) {
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		wrong := (*json.UnmarshalTypeError)(nil)
		switch typed := errors.As(err, &wrong); {
		case typed && !ourKind(o.Kind): // not an object, or one in whose spec the words mean something else
		case typed && strings.HasSuffix(wrong.Field, "annotations"), typed && strings.HasSuffix(wrong.Field, "labels"):
			err = fmt.Errorf("%s: a %s where text is wanted; put it in quotes", wrong.Field, wrong.Value)
			fallthrough
		default:
			l.find(l.place, err)
		}
		return
	}
	if o.Kind == "" {
		o.Kind = implied
	}
	if kind, ok := strings.CutSuffix(o.Kind, "List"); ok && o.Items != nil {
		for _, item := range o.Items {
			l.object(item, kind)
		}
		return
	}
	if o.Kind == "" {
		return
	}
	l.tally.Objects++
	group, _, grouped := strings.Cut(o.APIVersion, "/")
	if !grouped {
		group = ""
	}
	m := o.Metadata
	place := placeOf(o.Kind, m)
	pods := o.Spec.Template
	if o.Spec.JobTemplate != nil {
		pods = o.Spec.JobTemplate.Spec.Template
	}
	if m.ours() || pods != nil && pods.Metadata.ours() {
		l.tally.Ours++
	}
	switch {
	case group == "" && o.Kind == "Service":
		l.find(place, config.CheckService(m.Annotations, nil))
		l.tables.service(place, m)
	case group == "" && o.Kind == "ConfigMap":
		l.tables.configMaps = append(l.tables.configMaps, configMap{l.file, m.Namespace, m.Name, raw})
	case group == "" && o.Kind == "Namespace":
		l.find(place, namespace(m))
	case group == "discovery.k8s.io" && o.Kind == "EndpointSlice":
		l.find(place, config.CheckSlice(m.Annotations))
	case group == "" && o.Kind == "Pod":
		l.find(place, pod(m))
	case workload(group, o.Kind):
		l.find(place, misplaced(m))
		if pods != nil {
			l.find(place+": pod template", pod(pods.Metadata))
		}
	}
}

func placeOf(kind string, m metadata) string {
	place := kind + " " + strings.TrimPrefix(m.Namespace+"/", "/") + m.Name
	if m.Name == "" {
		place += m.Generate + "…"
	}
	return place
}

func ourKind(kind string) bool {
	return kind == "Service" || kind == "Namespace" || kind == "Pod" || kind == "EndpointSlice" || slices.Contains(workloads, kind)
}

var workloads = []string{"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"}

func workload(group, kind string) bool {
	return (group == "" || group == "apps" || group == "batch") && slices.Contains(workloads, kind)
}

// pod looks at a pod as the webhook does when it is created, with the webhook's own configuration left at its defaults.
func pod(m metadata) error {
	_, inject := config.Choice(m.Labels, m.Annotations)
	_, settings := config.ForPod(config.Defaults(), config.Namespace{}, m.Annotations)
	return errors.Join(inject, settings)
}

func namespace(m metadata) error {
	var errs []error
	what := fmt.Sprintf("namespace %q", m.Name)
	for _, name := range slices.Sorted(maps.Keys(m.Labels)) {
		value := m.Labels[name]
		switch {
		case !strings.HasPrefix(name, config.Prefix):
		case name != config.InjectKey:
			errs = append(errs, &config.AnnotationError{Object: what, Kind: "label", Name: name,
				Problem: "unknown label; the only one is " + config.InjectKey + ", all else are annotations"})
		case value != config.Enabled && value != config.Disabled:
			errs = append(errs, &config.AnnotationError{Object: what, Kind: "label", Name: name,
				Problem: fmt.Sprintf("%q: want one of %s, %s", value, config.Enabled, config.Disabled)})
		}
	}
	_, err := config.ForPod(config.Defaults(), config.Namespace{Name: m.Name, Annotations: m.Annotations}, nil)
	return errors.Join(errors.Join(errs...), err)
}

// misplaced says where annotations of a workload belong: pods do not get those of what makes them.
func misplaced(m metadata) error {
	var errs []error
	for _, from := range []struct {
		kind  string
		names map[string]string
	}{{"label", m.Labels}, {"annotation", m.Annotations}} {
		for _, name := range slices.Sorted(maps.Keys(from.names)) {
			if strings.HasPrefix(name, config.Prefix) {
				errs = append(errs, &config.AnnotationError{Object: "the workload", Kind: from.kind, Name: name,
					Problem: "has no effect here; it belongs into the metadata of the pod template"})
			}
		}
	}
	return errors.Join(errs...)
}
