//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What docs/explain.md has people type: a container that is added to a running pod asks, is redirected to the pod's sidecar, and prints how the answer
// came about. As the proxy's own user, which is the image's, it is told that its call was not redirected.
func TestExplainFromAnAddedContainer(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 2)
	kube(t, "-n", ns, "annotate", "service", "web", "sluice.mesh/explain=header", "sluice.mesh/shard-key=header:account-id")
	sleeper(t, ns, "client")
	pods := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"))
	custom := filepath.Join(t.TempDir(), "user.json")
	if err := os.WriteFile(custom, []byte(`{"securityContext": {"runAsUser": 1000}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	asks := func(name string, flags ...string) (out, state string) {
		t.Helper()
		args := append([]string{"-n", ns, "debug", "client", "--image=" + sluiceImage, "--image-pull-policy=IfNotPresent", "--container=" + name, "--profile=general"}, flags...)
		kube(t, append(args, "--", "sluicectl", "explain", "-H", "account-id: 4711", "http://web/pod")...)
		soon(t, time.Minute, "the added container ends", func() (string, bool) {
			state = kube(t, "-n", ns, "get", "pod", "client", "-o",
				`jsonpath={range .status.ephemeralContainerStatuses[?(@.name=="`+name+`")]}{.state.terminated.exitCode}{end}`)
			return state, state != ""
		})
		return kube(t, "-n", ns, "logs", "client", "-c", name), state
	}
	out, code := asks("ask", "--custom="+custom)
	said := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		said[name] = strings.TrimSpace(value)
	}
	if code != "0" || said["status"] != "200 OK" || said["service"] != ns+"/web:80" || said["key"] != "header:account-id" ||
		said["owner"] != pods[0] && said["owner"] != pods[1] || !strings.HasSuffix(said["endpoint"], ", "+said["owner"]) {
		t.Errorf("it ends with %s and says\n%s\nthe pods are %q", code, out, pods)
	}
	if out, code := asks("own"); code != "1" || !strings.Contains(out, "user") {
		t.Errorf("as the proxy's user it ends with %s and says\n%s", code, out)
	}
}
