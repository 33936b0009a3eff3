package rules

import (
	"slices"
	"strings"
)

// Setting is one annotation of a Service. Another one is a row in table.
type Setting struct {
	Name    string // without Prefix
	Group   string // heading in the reference
	Allowed string // what a value may be, as in "want …"
	Example string // a right value that is not the default
	Doc     string // a paragraph for those who write the annotation
	Effect  string // which packages honour it, for those who change it; not in the reference
	// Reserved settings are not honoured by anybody yet: they are unknown to users and not in the reference. Whoever makes a
	// setting work deletes the word from its row.
	Reserved bool

	value
}

// value reads and writes a setting's part of Rules.
type value struct {
	parse func(r *Rules, text string) error // leaves r as it is where it fails; the error says why, or is errNotAllowed
	text  func(r *Rules) string             // as parse would read it
	keep  func(to, from *Rules)
}

// at makes the value of a field, its parser and its text.
func at[T any](field func(*Rules) *T, parse func(string) (T, error), text func(T) string) value {
	return value{
		parse: func(r *Rules, s string) error {
			v, err := parse(s)
			if err == nil {
				*field(r) = v
			}
			return err
		},
		text: func(r *Rules) string { return text(*field(r)) },
		keep: func(to, from *Rules) { *field(to) = *field(from) },
	}
}

// Annotation answers the setting's full name.
func (s *Setting) Annotation() string { return Prefix + s.Name }

// Default answers the default value's text.
func (s *Setting) Default() string { return s.text(Default()) }

// Settings answers all settings that are honoured, in the order of the reference.
func Settings() []Setting { return honoured(table) }

// Known says whether an annotation, with Prefix, is one of Settings.
func Known(annotation string) bool {
	return find(honoured(table), annotation) != nil
}

func honoured(table []Setting) []Setting {
	return slices.DeleteFunc(slices.Clone(table), func(s Setting) bool { return s.Reserved })
}

func find(table []Setting, annotation string) *Setting {
	name, ours := strings.CutPrefix(annotation, Prefix)
	i := slices.IndexFunc(table, func(s Setting) bool { return s.Name == name })
	if !ours || i < 0 {
		return nil
	}
	return &table[i]
}
