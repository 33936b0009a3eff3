package figures

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFiguresStandBetweenTheMarks(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"a new document": {"", "figures\n"},
		"between marks":  {"head\n" + Begin + "old\n" + End + "tail\n", "head\n" + Begin + "figures\n" + End + "tail\n"},
		"nothing there":  {"head\n" + Begin + End, "head\n" + Begin + "figures\n" + End},
		"no marks":       {"head\n", "head\n"},
		"no end":         {"head\n" + Begin + "old\n", "head\n" + Begin + "old\n"},
	} {
		path := filepath.Join(t.TempDir(), "document.md")
		if c.before != "" {
			if err := os.WriteFile(path, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // a second time changes nothing
			if err := Write(path, "figures\n"); (err != nil) != (c.before == c.after) && c.before != "" {
				t.Errorf("%s: %v", name, err)
			}
			if c.before == "" {
				break // now it is a document without marks
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.after {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.after)
		}
	}
}
