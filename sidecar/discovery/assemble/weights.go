package assemble

import (
	"github.com/sluice-mesh/sluice/sidecar/rules"
)

// Weight is what the annotation rules.WeightAnnotation of an object says; the zero value is nothing.
type Weight struct {
	said  bool
	n     uint16
	wrong string // why it says nothing that can be used; "" where it does, or where there is no annotation
}

// ParseWeight reads the annotation among those of an object.
func ParseWeight(annotations map[string]string) Weight {
	value, ok := annotations[rules.WeightAnnotation]
	if !ok {
		return Weight{}
	}
	n, err := rules.ParseWeight(value)
	if err != nil {
		return Weight{wrong: err.Problem}
	}
	return Weight{said: true, n: uint16(n)}
}

// Problem answers what is wrong with it; nil is nothing.
func (w Weight) Problem() error {
	if w.wrong == "" {
		return nil
	}
	return SettingError{&rules.Error{Annotation: rules.WeightAnnotation, Problem: w.wrong}}
}

// weights are what a Service's slices, and its pods where it asks for them, said last that was right. Slices that said nothing are
// not in them.
type weights struct {
	slices map[string]uint16 // by name
	pods   *Pods             // nil where the Service does not ask
}

// after answers the weights that follow from slices as they are now where these were in force.
func (w weights) after(all []*Slice, pods *Pods) weights {
	next := weights{pods: pods}
	for _, s := range all {
		n, ok := s.weight.n, s.weight.said
		if s.weight.wrong != "" {
			n, ok = w.slices[s.Name]
		}
		if !ok {
			continue
		}
		if next.slices == nil {
			next.slices = map[string]uint16{}
		}
		next.slices[s.Name] = n
	}
	if pods != nil {
		pods.prune(all)
	}
	return next
}

// none says that every endpoint has weight 1.
func (w weights) none() bool { return w.slices == nil && w.pods == nil }

// of answers the weight of a candidate: its pod's, else its slice's, else 1.
func (w weights) of(c *candidate) uint32 {
	if w.pods != nil && w.pods.begun && c.isPod {
		if p := w.pods.by[c.name]; p.said {
			return uint32(p.n)
		}
	}
	if n, ok := w.slices[c.slice.Name]; ok {
		return uint32(n)
	}
	return 1
}
