package files

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// Each file of testdata/parse has beside it what is read from it.
func TestParse(t *testing.T) {
	paths, err := filepath.Glob("testdata/parse/*.[yj]*")
	if err != nil || len(paths) == 0 {
		t.Fatal("no manifests", err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".golden") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := describeParse(filepath.Base(path), data)
			if *update {
				if err := os.WriteFile(path+".golden", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func describeParse(file string, data []byte) string {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	m, remarks, err := parse(file, data, log)
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	for _, r := range remarks {
		fmt.Fprintf(&out, "remark: %s\n", r)
	}
	for _, s := range m.services {
		fmt.Fprintf(&out, "service %+v\n", s)
	}
	for _, s := range m.slices {
		fmt.Fprintf(&out, "slice %v of %v\n", s.self, s.service)
	}
	for _, s := range m.sets {
		fmt.Fprintf(&out, "statefulset %v: %+v\n", s.self, *s.set)
	}
	for _, c := range m.data {
		fmt.Fprintf(&out, "configmap %v: %q\n", c.self, c.data)
	}
	return out.String()
}

// A file written by somebody's tool, or half written, is read or refused, whole: no panic, no objects beside an error,
// and an error that names the file.
func FuzzParse(f *testing.F) {
	paths, _ := filepath.Glob("testdata/parse/*.[yj]*")
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && !strings.HasSuffix(path, ".golden") {
			f.Add(data, strings.HasSuffix(path, ".json"))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, isJSON bool) {
		file := "x.yaml"
		if isJSON {
			file = "x.json"
		}
		m, remarks, err := parse(file, data, slog.New(slog.DiscardHandler))
		if err != nil {
			if len(m.services)+len(m.slices)+len(m.sets)+len(m.data)+len(remarks) > 0 {
				t.Errorf("objects beside the error %v", err)
			}
			if !strings.HasPrefix(err.Error(), file+": ") {
				t.Errorf("%q does not begin with the file's name", err)
			}
		}
		for _, s := range m.services {
			for _, p := range s.Ports {
				if p.Port == 0 {
					t.Errorf("port 0 in %+v", s)
				}
			}
		}
	})
}
