package config

import (
	"errors"

	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// CheckService answers nil when every annotation of a Service that starts with Prefix is known, its value allowed, and all of
// them fit together, else one AnnotationError for each that is not, joined. Annotations that before has with the same value
// are not looked at: whoever changes something else about a Service must not be stopped by them. before is nil for a new
// Service.
//
// The settings are those of sidecar/rules, which the sidecars read; docs/annotations.md lists them.
func CheckService(annotations, before map[string]string) error {
	var errs []error
	for _, e := range rules.Check(annotations, before) {
		problem := e.Problem
		if podSetting(e.Annotation) {
			problem = "this annotation belongs on pods, or on their namespace"
		}
		errs = append(errs, &AnnotationError{"the Service", "annotation", e.Annotation, problem})
	}
	return errors.Join(errs...)
}

// CheckSlice is the like for an EndpointSlice, of which nothing but its weight can be set.
func CheckSlice(annotations map[string]string) error {
	var errs []error
	for _, e := range rules.CheckSlice(annotations) {
		errs = append(errs, &AnnotationError{"the EndpointSlice", "annotation", e.Annotation, e.Problem})
	}
	return errors.Join(errs...)
}
