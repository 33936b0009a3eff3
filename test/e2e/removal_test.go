//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"
)

// What the README has people type to take everything away leaves nothing, though the webhook puts Roles into namespaces as long as it runs.
func TestTakenAwayAsTheREADMESays(t *testing.T) {
	ns := namespace(t, optIn)
	apply(t, ns, `
apiVersion: v1
kind: Service
metadata:
  name: orders
  annotations: {sluice.mesh/shard-key: "header:account-id", sluice.mesh/shard-map: lookup, sluice.mesh/shard-lookup: owners}
spec: {selector: {app: orders}, ports: [{port: 80}]}
`)
	left := func() string {
		return kube(t, "get", "roles,rolebindings", "--all-namespaces", "--field-selector=metadata.name=sluice-shard-maps", "-o", "name", "--ignore-not-found") +
			kube(t, "get", "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations", "-o", "name",
				"-l", "app.kubernetes.io/part-of=sluice")
	}
	soon(t, 30*time.Second, "a Role for the Service's table", func() (string, bool) { s := left(); return s, strings.Contains(s, "sluice-shard-maps") })
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(readme), "To take it away again")
	if !found {
		t.Fatal("the README does not say how to take it away")
	}
	t.Cleanup(func() {
		if err := install(); err != nil {
			t.Error(err)
		}
	})
	n := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			break
		}
		command, found := strings.CutPrefix(line, "    kubectl ")
		if !found {
			continue
		}
		n++
		command = strings.ReplaceAll(command, " manifests/", " ../../manifests/")
		kube(t, strings.Fields(command)...)
	}
	if n != 4 {
		t.Errorf("the README has %d commands", n)
	}
	for range 3 { // who is still about to end might put something back
		if s := left(); s != "" {
			t.Fatalf("left: %s", s)
		}
		time.Sleep(time.Second)
	}
	if out, err := run(time.Minute, nil, "get", "namespace", system); err == nil {
		t.Errorf("the namespace is still there: %s", out)
	}
}
