package rules

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/annotations.md anew")

// TestReference: docs/annotations.md is what the table says.
func TestReference(t *testing.T) {
	const file = "../../docs/annotations.md"
	want := reference(honoured(table))
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the table says (%v; make golden writes it)", file, err)
	}
}

// reference writes the page.
func reference(table []Setting) string {
	var b strings.Builder
	b.WriteString(`# Annotations of Services

<!-- Written by "make golden" from the table in sidecar/rules/table.go. Change it there. -->

What a Service asks of the proxies that call it. Each is an annotation of the Service, and none is needed:

    kubectl -n shop annotate service cart sluice.mesh/policy=round-robin

A change reaches all running sidecars within a moment, without a restart. A wrong value is refused by the webhook, which says what is
allowed; where there is no webhook, sidecars go on with the last right value (or the default) and report the wrong one in their log and
at ` + "`/clusters`" + ` on their admin port, where the settings in force are as well. Settings of pods are in
[webhook/README.md](../webhook/README.md).

| annotation | default | |
|---|---|---|
`)
	for _, s := range table {
		fmt.Fprintf(&b, "| [`%s`](#%s) | `%s` | %s |\n", s.Annotation(), anchor(s.Annotation()), s.Default(), firstSentence(s.Doc))
	}
	group := ""
	for _, s := range table {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", s.Annotation(), wrap(s.Doc, 120))
		fmt.Fprintf(&b, "* Default: `%s`\n* Allowed: %s\n* Example: `%s: %s`\n", s.Default(), s.Allowed, s.Annotation(), quoteYAML(s.Example))
	}
	b.WriteString(`
## On pods and EndpointSlices

### sluice.mesh/weight

The share of a pod, or of all endpoints of an EndpointSlice, beside the Service's other endpoints. A pod's counts for Services that say
` + "`sluice.mesh/weights: pods`" + `, a slice's for its Service in any case. What the Service says of a name goes before, and the pod's weight goes
before its slice's.

* Default: ` + "`1`" + `
* Allowed: a whole number from 0 to 1000
* Example: ` + "`sluice.mesh/weight: \"3\"`" + `
`)
	return b.String()
}

// anchor answers what a heading is linked by: letters, digits and hyphens of it, in lower case.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		if r == '.' || r == '/' {
			return -1
		}
		return r
	}, heading)
}

func firstSentence(doc string) string {
	sentence, _, _ := strings.Cut(doc, ". ")
	return strings.TrimSuffix(sentence, ".")
}

func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// quoteYAML quotes what YAML would not read as this text.
func quoteYAML(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./,:={}% ") == ""
	if plain && strings.Trim(s, "0123456789.") != "" && s != "on" && s != "off" && s[0] != '/' && !strings.Contains(s, ": ") && s[0] != '{' {
		return s
	}
	return `"` + s + `"`
}

// TestRows: what everybody reads of a row is there, and in one form.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range table {
		if s.Name == "" || seen[s.Name] || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("the name %q is no name, or there twice", s.Name)
		}
		seen[s.Name] = true
		if s.Group == "" || s.Allowed == "" || s.Example == "" || s.Effect == "" || s.parse == nil {
			t.Errorf("%s: something is missing", s.Name)
		}
		if !strings.HasSuffix(s.Doc, ".") || strings.HasSuffix(s.Allowed, ".") || strings.Contains(s.Doc, "\n") {
			t.Errorf("%s: the documentation ends with a full stop, what is allowed does not", s.Name)
		}
		if s.Example == s.Default() {
			t.Errorf("%s: the example is the default", s.Name)
		}
		for _, package_ := range strings.Split(s.Effect, ", ") {
			if dir := "../../" + package_; !strings.HasPrefix(package_, "sidecar/") {
				t.Errorf("%s: %q is no package", s.Name, package_)
			} else if _, err := os.Stat(dir); err != nil && !s.Reserved {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
	for i := 1; i < len(table); i++ {
		if table[i].Group != table[i-1].Group && seenBefore(table[:i], table[i].Group) {
			t.Errorf("%s: its group %q is scattered", table[i].Name, table[i].Group)
		}
	}
}

func seenBefore(rows []Setting, group string) bool {
	for _, r := range rows {
		if r.Group == group {
			return true
		}
	}
	return false
}
