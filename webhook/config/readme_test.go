package config

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: every setting is in the reference, with its default.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	defaults := Defaults()
	for _, k := range settings {
		_, row, found := strings.Cut(string(readme), "\n| `"+k.name+"` | ")
		row, _, _ = strings.Cut(row, "\n")
		cells := strings.Split(row, " | ")
		if !found || len(cells) < 3 {
			t.Errorf("no row for %s", k.name)
			continue
		}
		if want := k.get(&defaults); want != "" && cells[1] != "`"+want+"`" {
			t.Errorf("%s: default %s, want `%s`", k.name, cells[1], want)
		}
	}
	if !strings.Contains(string(readme), "(../docs/annotations.md)") {
		t.Error("no link to the reference of Services' annotations")
	}
}
