package rules

import (
	"fmt"
	"unicode/utf8"
)

// Error is an annotation that is not used as it stands.
type Error struct {
	Annotation string // with Prefix
	Value      string
	Problem    string // the value and what is allowed, or why the name or the combination is not
	// With are the annotations, besides this one, without which there would be no problem.
	With []string
}

// Error says all of it in a sentence.
func (e *Error) Error() string { return "annotation " + e.Annotation + ": " + e.Problem }

// quoted answers a value for messages, cut where nobody reads on.
func quoted(value string) string {
	const most = 80 // bytes
	if len(value) <= most {
		return fmt.Sprintf("%q", value)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(value[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", value[:cut])
}
