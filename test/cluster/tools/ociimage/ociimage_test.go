package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, dir, name, text string, mode os.FileMode) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return p
}

// names lists a layer as "mode name [-> target]".
func names(t *testing.T, b blob) []string {
	t.Helper()
	var out []string
	for tr := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		line := h.FileInfo().Mode().String() + " " + h.Name
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		out = append(out, line)
	}
}

func TestLayerHoldsParentsOnceAndKeepsModesAndLinks(t *testing.T) {
	dir := t.TempDir()
	prog := write(t, dir, "prog", "x", 0o755)
	write(t, dir, "tree/usr/lib/a.so", "a", 0o644)
	if err := os.Symlink("a.so", filepath.Join(dir, "tree/usr/lib/b.so")); err != nil {
		t.Fatal(err)
	}
	l, err := buildLayer([]string{"tmp:1777"}, []string{prog + ":/usr/bin/prog", dir + "/tree:/"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"dtrwxrwxrwx tmp/", "drwxr-xr-x usr/", "drwxr-xr-x usr/bin/", "-rwxr-xr-x usr/bin/prog",
		"drwxr-xr-x usr/lib/", "-rw-r--r-- usr/lib/a.so", "Lrwxrwxrwx usr/lib/b.so -> a.so"}
	if got := names(t, l); !slices.Equal(got, want) {
		t.Errorf("layer\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFromPutsLayersBeneathAndEqualInputGivesEqualBytes(t *testing.T) {
	dir := t.TempDir()
	below := settings{out: filepath.Join(dir, "below.tar"), name: "x.test/below:1",
		adds: list{write(t, dir, "one", "1", 0o644) + ":/one"}}
	if err := below.run(); err != nil {
		t.Fatal(err)
	}
	above := settings{out: filepath.Join(dir, "above.tar"), name: "x.test/above:1", from: below.out,
		adds: list{write(t, dir, "two", "2", 0o644) + ":/two"}}
	var archives [2][]byte
	for i := range archives {
		if err := above.run(); err != nil {
			t.Fatal(err)
		}
		var err error
		if archives[i], err = os.ReadFile(above.out); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two runs over the same files wrote different archives")
	}
	layers, err := readLayers(above.out)
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) != 2 || !slices.Equal(names(t, layers[0]), []string{"-rw-r--r-- one"}) ||
		!slices.Equal(names(t, layers[1]), []string{"-rw-r--r-- two"}) {
		t.Errorf("%d layers, want one below two", len(layers))
	}
	left, err := filepath.Glob(filepath.Join(dir, "*.tar.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left beside the archive: %q, %v", left, err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	dir := t.TempDir()
	ok := settings{out: filepath.Join(dir, "x.tar"), name: "x.test/x:1"}
	with := func(f func(*settings)) settings { s := ok; f(&s); return s }
	for name, c := range map[string]struct {
		s    settings
		want string
	}{
		"no name":              {settings{out: "x"}, "-o and -name are needed"},
		"a name without a tag": {with(func(s *settings) { s.name = "host:5000/x" }), "has no tag"},
		"no destination":       {with(func(s *settings) { s.adds = list{"file"} }), "want SRC:DST"},
		"a missing file":       {with(func(s *settings) { s.adds = list{"/no/such:/x"} }), "no such file"},
		"a mode of letters":    {with(func(s *settings) { s.dirs = list{"tmp:rwx"} }), "want octal digits"},
		"no archive beneath":   {with(func(s *settings) { s.from = "/no/such.tar" }), "-from /no/such.tar"},
	} {
		if err := c.s.run(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}
