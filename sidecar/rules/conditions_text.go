package rules

import (
	"errors"
	"slices"
	"strings"
)

// conditionWords are the single outcomes, in the order of their bits.
var conditionWords = []string{"reset", "5xx", "500", "502", "503", "504", "unavailable", "resource-exhausted"}

func parseConditions(s string) (Conditions, error) {
	parts, err := list(s)
	var set Conditions
	for _, p := range parts {
		i := slices.Index(conditionWords, p)
		switch {
		case p == none:
			return 0, errors.New("none stands alone")
		case i < 0 && len(parts) > 1:
			return 0, errors.New(quoted(p) + " is unknown")
		case i < 0:
			return 0, errNotAllowed
		}
		set |= 1 << i
	}
	return set, err
}

// String answers the words of the annotation.
func (c Conditions) String() string {
	if c == 0 {
		return none
	}
	var parts []string
	for i, w := range conditionWords {
		if c&(1<<i) != 0 {
			parts = append(parts, w)
		}
	}
	return strings.Join(parts, ",")
}
