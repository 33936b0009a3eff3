package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
)

// serviceSetting is one annotation of a Service. A later one is a line in serviceSettings.
type serviceSetting struct {
	name    string // with Prefix
	allowed string
	check   func(value string) error
}

// PolicyAnnotation names the balancing policy of a Service.
const PolicyAnnotation = Prefix + "policy"

var serviceSettings = []serviceSetting{
	{PolicyAnnotation, strings.Join(balancer.Policies(), ", "), func(value string) error {
		if value == "" { // absent means the default; an empty value is a slip
			return errors.New("empty")
		}
		return balancer.Check(value)
	}},
}

func serviceAnnotation(name string) *serviceSetting {
	i := slices.IndexFunc(serviceSettings, func(s serviceSetting) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &serviceSettings[i]
}

// CheckService answers nil when every annotation of a Service that starts with Prefix is known and its value allowed,
// else one AnnotationError for each that is not, joined. Annotations that before has with the same value are not looked
// at: whoever changes something else about a Service must not be stopped by them. before is nil for a new Service.
func CheckService(annotations, before map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[name]
		if old, was := before[name]; !strings.HasPrefix(name, Prefix) || (was && old == value) {
			continue
		}
		problem := ""
		switch known := serviceAnnotation(name); {
		case known == nil:
			problem = "unknown annotation; known are " + strings.Join(ServiceNames(), ", ")
		case known.check(value) != nil:
			problem = fmt.Sprintf("%q: want one of %s", value, known.allowed)
		default:
			continue
		}
		errs = append(errs, &AnnotationError{"the Service", "annotation", name, problem})
	}
	return errors.Join(errs...)
}

// ServiceNames answers the names of all Service annotations, with Prefix.
func ServiceNames() []string {
	var names []string
	for _, s := range serviceSettings {
		names = append(names, s.name)
	}
	return names
}
