// Package figures puts measurements into documents: between two marks, so that a program writes them anew and leaves the words around them alone.
package figures

import (
	"fmt"
	"os"
	"strings"
)

// The lines that measurements stand between.
const (
	Begin = "<!-- figures: begin -->\n"
	End   = "<!-- figures: end -->\n"
)

// Write puts the text, whole lines, between the marks of the document at path; where there is none it becomes all of a new one. It errs
// where the document has no marks.
func Write(path, text string) error {
	old, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		return err
	}
	head, rest, begins := strings.Cut(string(old), Begin)
	_, tail, ends := strings.Cut(rest, End)
	if !begins || !ends {
		return fmt.Errorf("%s: no lines %s and %s", path, strings.TrimSpace(Begin), strings.TrimSpace(End))
	}
	return os.WriteFile(path, []byte(head+Begin+text+End+tail), 0o644)
}
