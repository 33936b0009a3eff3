package rules

import (
	"cmp"
	"slices"
	"strings"
)

// unknown says that no such annotation is known, and which one was perhaps meant.
func unknown(table []Setting, annotation string) string {
	if near := nearest(table, strings.TrimPrefix(annotation, Prefix)); len(near) > 0 {
		return "unknown annotation; did you mean " + strings.Join(near, " or ") + "?"
	}
	var all []string
	for _, s := range table {
		all = append(all, s.Annotation())
	}
	return "unknown annotation; known are " + strings.Join(all, ", ")
}

// nearest answers up to three full names that a name was perhaps meant to be, the likeliest first: those that it takes few
// changes of letters to reach, then those that contain it or that it contains.
func nearest(table []Setting, name string) []string {
	const most = 3
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	for _, s := range table {
		d := distance(name, s.Name)
		switch plain, known := letters(name), letters(s.Name); {
		case plain == "" || d > max(2, len(name)/4) && plain != known &&
			!(len(plain) >= 4 && strings.Contains(known, plain)) && !(len(known) >= 4 && strings.Contains(plain, known)):
			continue
		case plain == known:
			d = 0
		}
		near = append(near, candidate{s.Annotation(), d})
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	if len(near) > 0 && near[0].distance <= 1 { // a slip of the finger, surely
		near = slices.DeleteFunc(near, func(c candidate) bool { return c.distance > 1 })
	}
	var names []string
	for _, c := range near[:min(most, len(near))] {
		names = append(names, c.name)
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
	for j := range now {
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
