package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatJavaLacksIsNamed prepares the suite without the JDK, with it and without Maven, and without Maven once that has done its part.
func TestWhatJavaLacksIsNamed(t *testing.T) {
	bin, dir := t.TempDir(), t.TempDir()
	t.Setenv("PATH", bin)
	for _, c := range []struct{ has, lacks string }{
		{"", `"javac": executable file not found in $PATH (Debian package default-jdk-headless)`},
		{"javac", `"mvn": executable file not found in $PATH (Debian package maven)`},
	} {
		if c.has != "" {
			if err := os.WriteFile(filepath.Join(bin, c.has), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := fetchJavaGRPC(t.Context(), dir); err == nil || !strings.Contains(err.Error(), c.lacks) {
			t.Errorf("with %q: got %v, want it to say %s", c.has, err, c.lacks)
		}
	}
	if err := os.MkdirAll(javaLibraries(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(javaLibraries(dir), "done"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := fetchJavaGRPC(t.Context(), dir); err != nil {
		t.Errorf("with all of it fetched: %v", err)
	}
}
