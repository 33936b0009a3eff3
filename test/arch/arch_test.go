// Package arch holds the fences between packages as a test: who may import whom, and which module stays where.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/sluice-mesh/sluice/"

// levels says how high a package stands; imports go downwards only. The longest prefix holds.
var levels = map[string]int{
	"cmd/": 6,

	"sidecar": 5, "webhook": 5, "initcontainer": 5,

	"sidecar/proxy": 4, "sidecar/admin": 4, "webhook/admit": 4,

	"sidecar/listener": 3, "sidecar/h1": 3, "sidecar/tunnel": 3, "sidecar/scatter": 3, "sidecar/upstream": 3, "sidecar/discovery": 3, "sidecar/directory": 3,
	"webhook/certs": 3, "webhook/access": 3, "webhook/facts": 3, "webhook/report": 3, "initcontainer/apply": 3,

	"sidecar/detect": 2, "sidecar/balancer": 2, "sidecar/outlier": 2, "sidecar/classify": 2, "sidecar/retry": 2,
	"sidecar/shard": 2, "sidecar/shardkey": 2,
	"sidecar/h2": 3, "sidecar/h2/frame": 2, "sidecar/h2/hpack": 2, "sidecar/h2/head": 2,
	"sidecar/rules": 2, "sidecar/manifest": 2,
	"webhook/inject": 2, "initcontainer/ruleset": 2,

	"sidecar/cluster": 1, "sidecar/metrics": 1, "sidecar/config": 1, "sidecar/explanation": 1, "webhook/config": 1, "initcontainer/config": 1,

	"sidecar/loop": 0,
}

// sideways are the edges within one level, or between programs, that are meant.
var sideways = map[string]string{
	"sidecar/upstream -> sidecar/h1":                        "the pool keeps h1's connections",
	"sidecar/upstream -> sidecar/h2":                        "the pool keeps h2's connections",
	"sidecar/h2/head -> sidecar/h2/hpack":                   "it reads what hpack decoded",
	"sidecar/discovery/kube -> sidecar/discovery":           "a source under its contract",
	"sidecar/discovery/kube -> sidecar/discovery/assemble":  "both sources assemble in the same way",
	"sidecar/discovery/files -> sidecar/discovery":          "a source under its contract",
	"sidecar/discovery/files -> sidecar/discovery/assemble": "both sources assemble in the same way",
	"sidecar/discovery/assemble -> sidecar/discovery":       "it makes the contract's targets",
	"sidecar/directory -> sidecar/discovery":                "it asks for the owners that a target's snapshot has",
	"sidecar/shard -> sidecar/shardkey":                     "a map is asked for the owner of a key",
	"webhook/inject -> sidecar/config":                      "whoever writes a setting imports its name",
	"webhook/inject -> initcontainer/config":                "whoever writes a setting imports its name",
	"webhook/config -> initcontainer/config":                "annotations are checked by who reads them",
	"webhook/config -> sidecar/config":                      "annotations are checked by who reads them",
	"sidecar/rules -> sidecar/balancer":                     "a setting is parsed by who honours it",
	"sidecar/rules -> sidecar/shard":                        "a setting is parsed by who honours it",
	"sidecar/rules -> sidecar/shardkey":                     "a setting is parsed by who honours it",
	"webhook/config -> sidecar/rules":                       "annotations are checked by who reads them",
	"webhook/config -> sidecar/shard":                       "tables are checked by who reads them",
}

// fences say which packages may import a module, and why no other may.
var fences = []struct {
	imports string
	allowed []string
	why     string
}{
	{"github.com/coreos/go-iptables", []string{"initcontainer/apply"}, "the kernel's rules are changed in one place"},
	{"sigs.k8s.io/controller-runtime", []string{"webhook", "cmd/webhook", "test/"}, "sidecars stay small"},
	{"k8s.io/", []string{"webhook", "sidecar/discovery/", "test/"}, "only discovery and the webhook know the cluster"},
	{"github.com/prometheus/client_golang", []string{"sidecar/metrics", "sidecar/admin", "webhook", "test/"}, "loops count into plain atomics"},
	{"golang.org/x/sys/unix", []string{"sidecar/loop", "initcontainer", "test/"}, "raw system calls live in the engine"},
	{"github.com/golang/geo", []string{"sidecar/shard"}, "cells are one of the shard maps, and nobody else's"},
	{"golang.org/x/net/http2", []string{"sidecar/h2", "test/"}, "only hpack and constants are used"},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

func TestImportsGoDownwards(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(from, "test/") {
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			a, okA := level(from)
			b, okB := level(to)
			edge := from + " -> " + to
			switch {
			case !okA || !okB:
				t.Errorf("%s: give both packages a level in levels", edge)
			case strings.HasPrefix(to, "test/"):
				t.Errorf("%s: the product does not import its tests", edge)
			case sideways[edge] != "" || strings.HasPrefix(from, "cmd/"):
			case program(from) != program(to):
				t.Errorf("%s: programs do not import one another", edge)
			case a <= b:
				t.Errorf("%s: imports go downwards only (levels %d and %d); name it in sideways if it is meant", edge, a, b)
			}
		}
	}
}

func TestModulesStayBehindTheirFences(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for _, f := range fences {
				if imp != strings.TrimSuffix(f.imports, "/") && !strings.HasPrefix(imp, strings.TrimSuffix(f.imports, "/")+"/") {
					continue
				}
				ok := false
				for _, a := range f.allowed {
					ok = ok || from == a || strings.HasPrefix(from, strings.TrimSuffix(a, "/")+"/")
				}
				if !ok {
					t.Errorf("%s imports %s: %s (allowed in %s)", from, imp, f.why, strings.Join(f.allowed, ", "))
				}
			}
		}
	}
}

func level(path string) (int, bool) {
	best, n, ok := "", 0, false
	for prefix, l := range levels {
		p := strings.TrimSuffix(prefix, "/")
		if (path == p || strings.HasPrefix(path, p+"/")) && len(prefix) > len(best) {
			best, n, ok = prefix, l, true
		}
	}
	return n, ok
}

func program(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var ps []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}
