package rules

import (
	"cmp"
	"slices"
	"strings"
)

// unknown says that no such annotation is known, and which one was perhaps meant.
func unknown(table []Setting, annotation string) string {
	if annotation == WeightAnnotation {
		return weightElsewhere
	}
	var all []string
	for _, s := range table {
		all = append(all, s.Annotation())
	}
	return Unknown(annotation, all)
}

// Unknown is the problem with an annotation that is none of those that are known, all with Prefix: it says which of them was
// perhaps meant, or else which there are.
func Unknown(annotation string, known []string) string {
	if near := nearest(annotation, known); len(near) > 0 {
		return "unknown annotation; did you mean " + strings.Join(near, " or ") + "?"
	}
	return "unknown annotation; known are " + strings.Join(known, ", ")
}

// nearest answers up to three names that a name was perhaps meant to be, the likeliest first: those that it takes few changes
// of letters to reach, then those that contain it, that it contains, or that begin alike.
func nearest(annotation string, known []string) []string {
	const most, shortest = 3, 4
	name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(annotation, Prefix), "_", "-"))
	plain := letters(name)
	if plain == "" {
		return nil
	}
	type candidate struct {
		annotation string
		distance   int
	}
	var near []candidate
	for _, annotation := range known {
		k := strings.TrimPrefix(annotation, Prefix)
		d, kp := distance(name, k), letters(k)
		if plain == kp {
			d = 0
		}
		if d <= max(1, len(name)/4) || min(len(plain), len(kp)) >= shortest &&
			(strings.Contains(kp, plain) || strings.Contains(plain, kp) || plain[:shortest] == kp[:shortest]) {
			near = append(near, candidate{annotation, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	if len(near) > 0 && near[0].distance <= 1 { // a slip of the finger, surely
		near = slices.DeleteFunc(near, func(c candidate) bool { return c.distance > 1 })
	}
	var names []string
	for _, c := range near[:min(most, len(near))] {
		names = append(names, c.annotation)
	}
	return names
}

func letters(name string) string { return strings.ReplaceAll(name, "-", "") }

// distance is how many letters have to be put in, left out, changed or swapped with their neighbour to get from a to b
// (optimal string alignment).
func distance(a, b string) int {
	if len(a) > 64 { // no name is that long
		return len(a)
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
