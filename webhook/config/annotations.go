package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// AnnotationError is a label or annotation that was refused.
type AnnotationError struct {
	Object  string // "the pod", `namespace "shop"`, "the Service"
	Kind    string // "annotation" or "label"
	Name    string // with Prefix
	Problem string // the value and what is allowed, or why the name is not
}

func (e *AnnotationError) Error() string {
	return fmt.Sprintf("%s %s of %s: %s", e.Kind, e.Name, e.Object, e.Problem)
}

// Namespace is what the webhook needs to know of a pod's namespace.
type Namespace struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
}

// Choice answers what a pod's own label or annotation InjectKey says: Enabled, Disabled, or "" where it says nothing.
// One of the two is enough to opt out. Other labels that start with Prefix, and other values, are errors.
func Choice(labels, annotations map[string]string) (string, error) {
	var errs []error
	choice := ""
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if strings.HasPrefix(name, Prefix) && name != InjectKey {
			errs = append(errs, &AnnotationError{"the pod", "label", name,
				"unknown label; the only one is " + InjectKey + ", all else are annotations"})
		}
	}
	for _, from := range []struct {
		kind   string
		values map[string]string
	}{{"label", labels}, {"annotation", annotations}} {
		switch v, ok := from.values[InjectKey]; {
		case !ok:
		case v == Disabled, v == Enabled && choice != Disabled:
			choice = v
		case v != Enabled:
			errs = append(errs, &AnnotationError{"the pod", from.kind, InjectKey,
				fmt.Sprintf("%q: want one of %s, %s", v, Enabled, Disabled)})
		}
	}
	return choice, errors.Join(errs...)
}

// ForPod answers the settings of one pod: those of the webhook, changed by the annotations of the namespace, changed
// by the pod's. The error, if any, joins one AnnotationError for each name that is unknown and each value that is
// not allowed.
func ForPod(defaults Settings, ns Namespace, podAnnotations map[string]string) (Settings, error) {
	s := defaults
	s.explicit = map[string]bool{}
	namespace := fmt.Sprintf("namespace %q", ns.Name)
	errs := s.apply(namespace, ns.Annotations)
	errs = append(errs, s.apply("the pod", podAnnotations)...)
	if len(errs) == 0 {
		if err := s.Check(); err != nil {
			errs = append(errs, fmt.Errorf("annotations of the pod and of %s: %w", namespace, err))
		}
	}
	return s, errors.Join(errs...)
}

func (s *Settings) apply(object string, annotations map[string]string) (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		short, ours := strings.CutPrefix(name, Prefix)
		if !ours {
			continue
		}
		refuse := func(problem string) {
			errs = append(errs, &AnnotationError{object, "annotation", name, problem})
		}
		i := slices.IndexFunc(settings, func(k setting) bool { return k.name == short })
		switch {
		case name == InjectKey && object == "the pod": // Choice's
		case name == rules.WeightAnnotation && object == "the pod":
			if _, err := rules.ParseWeight(annotations[name]); err != nil {
				refuse(err.Problem)
			}
		case name == rules.WeightAnnotation:
			refuse("this annotation belongs on pods, in their templates, and on EndpointSlices")
		case name == InjectKey:
			refuse("on a namespace this is a label: kubectl label namespace NAME " + InjectKey + "=" + Enabled)
		case name == rules.Prefix+"weights" && object == "the pod":
			refuse("this annotation belongs on a Service; a pod has " + rules.WeightAnnotation)
		case i < 0 && rules.Known(name):
			refuse("this annotation belongs on a Service")
		case i < 0:
			known := Names()
			if object == "the pod" {
				known = append(known, rules.WeightAnnotation)
			}
			refuse(rules.Unknown(name, known))
		default:
			if err := settings[i].set(s, annotations[name]); err != nil {
				refuse(err.Error())
			}
			s.explicit[short] = true
		}
	}
	return errs
}

// podSetting says whether an annotation, with Prefix, is one of pods.
func podSetting(name string) bool { return slices.Contains(Names(), name) }

// Names answers the names of all pod settings, with Prefix, in the order of the documentation.
func Names() []string {
	names := []string{InjectKey}
	for _, k := range settings {
		names = append(names, Prefix+k.name)
	}
	return names
}
