package shard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/directory"
	"github.com/sluice-mesh/sluice/sidecar/manifest"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

const example = "../../../docs/examples/orders"

func run(in string, args ...string) (status int, out, problems string) {
	var o, p strings.Builder
	status = Run(args, strings.NewReader(in), &o, &p)
	return status, o.String(), p.String()
}

// changed answers a copy of the example with one text put in the place of another.
func changed(t *testing.T, old, new string) string {
	t.Helper()
	dir := t.TempDir()
	found := false
	for _, file := range []string{"orders.yaml", "pods.yaml"} {
		text, err := os.ReadFile(filepath.Join(example, file))
		if err != nil {
			t.Fatal(err)
		}
		found = found || strings.Contains(string(text), old)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(strings.ReplaceAll(string(text), old, new)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("%q is in no file of the example", old)
	}
	return dir
}

func TestManifests(t *testing.T) {
	lookup := changed(t, "shard-map: ordinal", "shard-map: lookup\n    sluice.mesh/shard-lookup: owners")
	if err := os.WriteFile(filepath.Join(lookup, "owners.json"), []byte(`{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": {"name": "owners", "namespace": "shop"}, "data": {"acme": "orders-3"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, dir, in string
		args          []string
		status        int
		out, problems string // parts
	}{
		{"an integer", example, "", []string{"shop/orders", "4711"}, 0, "4711  orders-1  owned  10.244.0.11:8080  ordinal 1 of 5", ""},
		{"a key, and more on standard input", example, "5\r\n\n6\n", []string{"--successors=0", "--namespace=shop", "orders:80", "7", "-"}, 0,
			"7    orders-2  owned  10.244.0.12:8080  ordinal 2 of 5 from 0 on, by integer  -\n5    orders-0", ""},
		{"an owner that is down", changed(t, "replicas: 5", "replicas: 6"), "", []string{"shop/orders", "11"}, 1, "11   orders-5  owner-down  -", ""},
		{"no StatefulSet", changed(t, "kind: StatefulSet", "kind: Deployment"), "", []string{"shop/orders", "11"}, 1, "11   -      statefulset-unknown  -",
			"Service shop/orders: no key has an owner: StatefulSet shop/orders is not there, or not known"},
		{"two parts", changed(t, "header:account-id", "header:tenant,json:/id"), "", []string{"shop/orders", `a\,b,7`}, 0, `"a\\,b,7"  orders-`, ""},
		{"one part of two", changed(t, "header:account-id", "header:tenant,json:/id"), "", []string{"shop/orders", "7"}, 2, "", "has 2 parts, not 1"},
		{"a table", lookup, "", []string{"shop/orders", "acme"}, 0, "acme  orders-3  owned", ""},
		{"what is not in it", lookup, "", []string{"shop/orders", "foo"}, 1, "foo  -      no-entry", ""},
		{"a key with blanks", example, "", []string{"shop/orders", " 7"}, 0, `" 7"`, ""},
		{"no key is asked for", changed(t, "sluice.mesh/shard", "example.com/shard"), "", []string{"shop/orders", "7"}, 2, "", "has neither"},
		{"another Service", example, "", []string{"orders", "7"}, 2, "", "Service default/orders is not known here"},
		{"no Service", example, "", []string{"", "7"}, 2, "", `want NAMESPACE/NAME`},
		{"nothing on standard input", example, "", []string{"shop/orders", "-"}, 2, "", "there is no key"},
		{"no key", example, "", []string{"shop/orders"}, 2, "", "Usage"},
		{"a format that is none", example, "", []string{"--output=yaml", "shop/orders", "7"}, 2, "", "want table or json"},
		{"a directory that is not there", example + "/none", "", []string{"shop/orders", "7"}, 2, "", "no such file"},
		{"a flag behind", example, "", []string{"shop/orders", "7", "--output=json"}, 2, "", "flags come before"},
		{"an unknown flag", example, "", []string{"--all"}, 2, "", "all"},
	} {
		status, out, problems := run(c.in, append([]string{"--manifests=" + c.dir}, c.args...)...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(problems, c.problems) || (problems == "") != (c.problems == "") {
			t.Errorf("%s: status %d\n%s\n%s\nwant %d\n%s\n%s", c.name, status, out, problems, c.status, c.out, c.problems)
		}
	}
	if status, out, _ := run("", "--help"); status != 0 || !strings.HasPrefix(out, "Usage: sluicectl shard") {
		t.Errorf("help: %d %s", status, out)
	}
}

// api answers lists of what the example has, and watches in which nothing happens. Lists of a resource that is late take a second.
func api(t *testing.T, refuse string, late ...string) (kubeconfig string, requests func() []string) {
	t.Helper()
	items := map[string][]json.RawMessage{}
	for _, file := range []string{"orders.yaml", "pods.yaml"} {
		text, err := os.ReadFile(filepath.Join(example, file))
		if err != nil {
			t.Fatal(err)
		}
		documents, err := manifest.Split(file, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range documents {
			var head struct{ Kind string }
			if err := json.Unmarshal(d.JSON, &head); err != nil {
				t.Fatal(err)
			}
			items[strings.ToLower(head.Kind)+"s"] = append(items[strings.ToLower(head.Kind)+"s"], json.RawMessage(d.JSON))
		}
	}
	lists := map[string][2]string{"services": {"v1", "ServiceList"}, "endpointslices": {"discovery.k8s.io/v1", "EndpointSliceList"},
		"statefulsets": {"apps/v1", "StatefulSetList"}}
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		resource := parts[len(parts)-1]
		query := r.URL.Query()
		w.Header().Set("Content-Type", "application/json")
		if query.Get("watch") != "" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		mu.Lock()
		got = append(got, resource+" "+query.Get("fieldSelector")+query.Get("labelSelector"))
		mu.Unlock()
		if slices.Contains(late, resource) {
			time.Sleep(3 * time.Second)
		}
		if resource == refuse {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "%s is forbidden"}`, resource)
			return
		}
		found := items[resource]
		if name, ok := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name="); ok && name != "orders" {
			found = nil
		}
		json.NewEncoder(w).Encode(map[string]any{"apiVersion": lists[resource][0], "kind": lists[resource][1],
			"metadata": map[string]string{"resourceVersion": "1"}, "items": append([]json.RawMessage{}, found...)})
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
		"clusters": [{"name": "c", "cluster": {"server": %q}}], "users": [{"name": "u", "user": {}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, func() []string {
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(got)
		return got
	}
}

func TestCluster(t *testing.T) {
	kubeconfig, requests := api(t, "")
	status, out, problems := run("", "--kubeconfig="+kubeconfig, "--output=json", "--successors=4", "shop/orders", "4711", "alice")
	var answers []directory.Answer
	if err := json.Unmarshal([]byte(out), &answers); err != nil || status != 0 || problems != "" {
		t.Fatalf("%d %v\n%s\n%s", status, err, out, problems)
	}
	if len(answers) != 2 || answers[0].Owner.Name != "orders-1" || answers[0].Owner.Address != "10.244.0.11:8080" || len(answers[1].Successors) != 4 {
		t.Errorf("%s", out)
	}
	want := []string{"endpointslices kubernetes.io/service-name=orders", "services metadata.name=orders", "statefulsets metadata.name=orders"}
	got := slices.DeleteFunc(requests(), func(r string) bool { return strings.HasPrefix(r, "services metadata.name=kubernetes") })
	if !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	// From files it is the same, to the fingerprint.
	status, out, _ = run("", "--manifests="+example, "--output=json", "--successors=4", "shop/orders", "4711", "alice")
	var same []directory.Answer
	if err := json.Unmarshal([]byte(out), &same); err != nil || status != 0 || fmt.Sprint(same[0].Fingerprint, *same[1].Owner.Ordinal) !=
		fmt.Sprint(answers[0].Fingerprint, *answers[1].Owner.Ordinal) {
		t.Errorf("from files: %d %v %s", status, err, out)
	}
}

func TestClusterThatIsSlow(t *testing.T) {
	kubeconfig, _ := api(t, "", "statefulsets")
	if status, out, problems := run("", "--kubeconfig="+kubeconfig, "shop/orders", "4711"); status != 0 || !strings.Contains(out, "4711  orders-1  owned") {
		t.Errorf("a StatefulSet that comes late: %d %s %s", status, out, problems)
	}
	status, out, problems := run("", "--kubeconfig="+kubeconfig, "--timeout=2s", "shop/orders", "4711")
	if status != 2 || out != "" || !strings.Contains(problems, "statefulsets shop/orders: context deadline exceeded") {
		t.Errorf("one that comes too late: %d %s %s", status, out, problems)
	}
}

func TestClusterThatCannotAnswer(t *testing.T) {
	kubeconfig, _ := api(t, "")
	if status, _, problems := run("", "--kubeconfig="+kubeconfig, "shop/cart", "7"); status != 2 || !strings.Contains(problems, "there is no Service shop/cart") {
		t.Errorf("a Service that is not there: %d %s", status, problems)
	}
	kubeconfig, _ = api(t, "services")
	if status, _, problems := run("", "--kubeconfig="+kubeconfig, "shop/orders", "7"); status != 2 || !strings.Contains(problems, "services is forbidden") {
		t.Errorf("Services may not be read: %d %s", status, problems)
	}
	kubeconfig, _ = api(t, "statefulsets")
	status, out, problems := run("", "--kubeconfig="+kubeconfig, "shop/orders", "7")
	if status != 1 || !strings.Contains(out, "statefulset-unknown") || !strings.Contains(problems, "statefulsets is forbidden") {
		t.Errorf("StatefulSets may not be read: %d %s %s", status, out, problems)
	}
	if status, _, problems := run("", "--kubeconfig=/none", "shop/orders", "7"); status != 2 || !strings.Contains(problems, "/none") {
		t.Errorf("no kubeconfig: %d %s", status, problems)
	}
}
