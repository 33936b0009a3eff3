package rules

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Parse answers the rules that the annotations of a Service ask for. A value that is not allowed leaves its setting as it is in
// last, the rules before this change, or at its default where last is nil. There is an *Error for each such annotation, for
// each name that starts with Prefix and is unknown, and for settings that do not fit together; they come by name.
//
// last itself is answered where nothing changed.
func Parse(annotations map[string]string, last *Rules) (*Rules, []*Error) {
	return parse(honoured(table), annotations, last)
}

func parse(table []Setting, annotations map[string]string, last *Rules) (*Rules, []*Error) {
	r, good := Default(), last
	if good == nil {
		good = Default()
	}
	said := said{}
	var errs []*Error
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		value := annotations[name]
		s := find(table, name)
		if s == nil {
			errs = append(errs, &Error{Annotation: name, Value: value, Problem: unknown(table, name)})
			continue
		}
		if err := s.check(r, value); err != nil {
			s.keep(r, good)
			errs = append(errs, err)
			said[s.Name] = wrong
			continue
		}
		said[s.Name] = right
	}
	errs = append(errs, r.fit(said, annotations, good)...)
	if r.Shard.On() && r.Shard.ready == nil {
		r.Shard.ready = r.Shard.read()
	}
	slices.SortStableFunc(errs, func(a, b *Error) int { return strings.Compare(a.Annotation, b.Annotation) })
	if last != nil && Equal(r, last) {
		r = last
	}
	return r, errs
}

// check reads a value into r.
func (s *Setting) check(r *Rules, value string) *Error {
	trimmed := strings.TrimSpace(value) // a YAML block ends with a line break
	if trimmed != "" {                  // absent means the default; an empty value is a slip
		err := s.parse(r, trimmed)
		if err == nil {
			return nil
		}
		if errors.As(err, new(taught)) {
			return &Error{Annotation: s.Annotation(), Value: value, Problem: quoted(value) + ": " + err.Error()}
		}
		if !errors.Is(err, errNotAllowed) {
			return &Error{Annotation: s.Annotation(), Value: value, Problem: quoted(value) + ": " + err.Error() + "; want " + s.Allowed}
		}
	}
	return &Error{Annotation: s.Annotation(), Value: value, Problem: quoted(value) + ": want " + s.Allowed}
}

// Check answers what is wrong with annotations that a Service is to have, an *Error each as Parse has them. Annotations that it
// had before with the same value are not looked at, nor are combinations of such: whoever changes something else about a
// Service must not be stopped by them. before is nil for a new Service.
func Check(now, before map[string]string) []*Error {
	return check(honoured(table), now, before)
}

func check(table []Setting, now, before map[string]string) []*Error {
	same := func(name string) bool {
		a, is := now[name]
		b, was := before[name]
		return is == was && a == b
	}
	_, errs := parse(table, now, nil)
	return slices.DeleteFunc(errs, func(e *Error) bool {
		return same(e.Annotation) && !slices.ContainsFunc(e.With, func(name string) bool { return !same(name) })
	})
}

// Format answers annotations that Parse reads as these rules. Settings that have their defaults are left out.
func Format(r *Rules) map[string]string { return format(honoured(table), r) }

func format(table []Setting, r *Rules) map[string]string {
	annotations := map[string]string{}
	for i := range table {
		s := &table[i]
		// With a key, the default of the fallback depends on the map.
		if text := s.text(r); text != s.Default() || s.Name == "shard-fallback" && r.Shard.Key != "" {
			annotations[s.Annotation()] = text
		}
	}
	return annotations
}

// Equal says whether two sets of rules are the same in every setting.
func Equal(a, b *Rules) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	x.Shard.ready, y.Shard.ready = nil, nil // it follows from the rest
	return reflect.DeepEqual(&x, &y)
}
