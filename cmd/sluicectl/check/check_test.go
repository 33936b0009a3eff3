package check

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func run(in string, args ...string) (status int, out, problems string) {
	var o, p strings.Builder
	status = Run(args, strings.NewReader(in), &o, &p)
	return status, o.String(), p.String()
}

func TestManifests(t *testing.T) {
	for file, want := range map[string]int{"right.yaml": 0, "wrong.yaml": 1} {
		t.Run(file, func(t *testing.T) {
			status, out, problems := run("", filepath.Join("testdata", file))
			if status != want || problems != "" {
				t.Errorf("status %d, want %d; %s", status, want, problems)
			}
			golden := filepath.Join("testdata", file+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if text, err := os.ReadFile(golden); err != nil || string(text) != out {
				t.Errorf("differs from %s (%v; make golden writes it):\n%s", golden, err, out)
			}
		})
	}
}

func TestWhereManifestsComeFrom(t *testing.T) {
	const wrong = `{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "s", "annotations": {"sluice.mesh/polcy": "x"}}}`
	dir := t.TempDir()
	for name, text := range map[string]string{"sub/a.json": wrong, "b.yml": wrong, "c.txt": wrong, "empty.yaml": "# nothing\n"} {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, in string
		args     []string
		status   int
		outHas   string
		errorHas string
	}{
		{"standard input", wrong, []string{"-"}, 1, "standard input: Service s: annotation sluice.mesh/polcy", ""},
		{"a directory and what is below it", "", []string{dir}, 1, "2 objects, of which 2 have labels or annotations of Sluice; 2 problems", ""},
		{"a named file, whatever its ending", "", []string{filepath.Join(dir, "c.txt")}, 1, "1 problems", ""},
		{"nothing to look at", "", []string{filepath.Join(dir, "empty.yaml")}, 0, "0 objects", ""},
		{"a file that is not there", "", []string{filepath.Join(dir, "none.yaml"), "-"}, 2, "0 objects", "none.yaml"},
		{"a file that cannot be read does not hide the others", "a: [", []string{"-", filepath.Join(dir, "b.yml")}, 2, "b.yml: Service s", "standard input: document 1"},
		{"no file", "", nil, 2, "", "Usage"},
		{"an unknown flag", "", []string{"--strict"}, 2, "", "strict"},
		{"help", "", []string{"--help"}, 0, "Usage: sluicectl check", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, problems := run(c.in, c.args...)
			if status != c.status || !strings.Contains(out, c.outHas) || !strings.Contains(problems, c.errorHas) || (problems == "") != (c.errorHas == "") {
				t.Errorf("status %d\n%s\n%s\nwant %+v", status, out, problems, c)
			}
		})
	}
}

// Tables of owners are read as sidecars read them, whatever file they are in.
func TestTables(t *testing.T) {
	const service = `{"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "shop", "name": "orders", "annotations": {
		"sluice.mesh/shard-key": "header:account", "sluice.mesh/shard-map": "lookup", "sluice.mesh/shard-lookup": "owners"}}}`
	table := func(namespace, name, data string) string {
		return `{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"namespace": "` + namespace + `", "name": "` + name + `"}, "data": ` + data + `}`
	}
	const begin = "ConfigMap shop/owners: the table of Service shop/orders (sluice.mesh/shard-map: lookup): "
	for _, c := range []struct{ name, service, table, want string }{
		{"right", service, table("shop", "owners", `{"acme": "orders-1", "table": "a b 2\n"}`), ""},
		{"no owner", service, table("shop", "owners", `{"acme": "orders 1"}`), begin + `entry "acme": owner "orders 1": want a pod's name or an ordinal`},
		{"a line", service, table("shop", "owners", `{"table": "# keys\nacme\n"}`), begin + `entry "table", line 2: "acme": want a key and its owner`},
		{"a key that is there twice", service, table("shop", "owners", `{"acme": "1", "table": "acme 2"}`), begin + `entry "table", line 1: key "acme" is there twice`},
		{"a number", service, table("shop", "owners", `{"acme": 1}`), begin + `data: a number where text is wanted; put it in quotes`},
		{"another ConfigMap", service, table("shop", "other", `{"acme": "orders 1"}`), ""},
		{"another namespace", service, table("web", "owners", `{"acme": "orders 1"}`), ""},
		{"no table of the Service's", strings.Replace(service, `"lookup"`, `"rendezvous"`, 1), table("shop", "owners", `{"acme": "orders 1"}`), ""},
		{"cells", strings.Replace(service, `"lookup"`, `"s2"`, 1), table("shop", "owners", `{"acme": "1"}`), `entry "acme": key "acme" is no token of an S2 cell`},
		{"alone", service, `{}`, ""},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"a.json": c.table, "b.json": c.service, "c.json": strings.Replace(c.service, "orders", "twin", 1)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		status, out, problems := run("", dir)
		if c.want == "" && (status != 0 && !strings.Contains(c.name, "no table") || strings.Contains(out, "ConfigMap")) ||
			c.want != "" && (status != 1 || strings.Count(out, c.want) != 1 || !strings.HasPrefix(out, filepath.Join(dir, "a.json")+": ")) || problems != "" {
			t.Errorf("%s: status %d\n%s%s\nwant %q", c.name, status, out, problems, c.want)
		}
	}
}

// TestOwnManifests: what the project ships and tests with has no wrong annotation.
func TestOwnManifests(t *testing.T) {
	if status, out, problems := run("", "../../../manifests"); status != 0 {
		t.Errorf("%s\n%s", out, problems)
	}
}

// FuzzFile: no manifest is too strange to be looked at.
func FuzzFile(f *testing.F) {
	for _, file := range []string{"right.yaml", "wrong.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var tables Tables
		findings, tally, err := File("f.yaml", data, &tables)
		findings = append(findings, tables.Findings()...)
		for _, finding := range findings {
			if err != nil || finding.Object == "" || finding.Err == nil || tally.Objects < tally.Ours {
				t.Errorf("%+v %+v %v", finding, tally, err)
			}
		}
	})
}
