package rules

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
)

// WeightAnnotation is the one annotation that is a pod's or an EndpointSlice's, and not a Service's: its share of a Service's traffic
// beside the others.
const WeightAnnotation = Prefix + "weight"

// weightElsewhere is for those who write it on a Service.
const weightElsewhere = "this annotation belongs on pods and EndpointSlices; a Service has " + Prefix + "weights"

// ParseWeight reads the value of WeightAnnotation.
func ParseWeight(value string) (uint32, *Error) {
	w, err := balancer.ParseWeight(strings.TrimSpace(value))
	if err != nil {
		return 0, &Error{Annotation: WeightAnnotation, Value: value, Problem: quoted(value) + ": want a whole number from 0 to 1000"}
	}
	return w, nil
}

// CheckSlice answers what is wrong with the annotations of an EndpointSlice: an *Error for a weight that is not allowed, and for each
// other name that starts with Prefix; they come by name.
func CheckSlice(annotations map[string]string) (errs []*Error) {
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		switch value := annotations[name]; {
		case name == WeightAnnotation:
			if _, err := ParseWeight(value); err != nil {
				errs = append(errs, err)
			}
		case Known(name):
			errs = append(errs, &Error{Annotation: name, Value: value, Problem: "this annotation belongs on a Service"})
		case strings.HasPrefix(name, Prefix):
			errs = append(errs, &Error{Annotation: name, Value: value, Problem: Unknown(name, []string{WeightAnnotation})})
		}
	}
	return errs
}
