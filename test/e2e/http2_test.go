//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// HTTP/2 with prior knowledge is balanced stream by stream on one connection, as curl and Go's net/http speak it. A client that
// offers the upgrade from HTTP/1.1 stays there.
func TestHTTP2StreamsSpread(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	// A port whose name does not say HTTP/1.
	kube(t, "-n", ns, "patch", "service", "web", "--type=json", "-p", `[{"op": "add", "path": "/spec/ports/-", "value": {"name": "any", "port": 81, "targetPort": "http"}}]`)
	sleeper(t, ns, "client")
	apply(t, ns, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: curl}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%s", command: [sleep, "3600"]}]}
`, toolsImage))
	kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/curl", "--timeout=60s")
	// One request to a connection: curl 7.88.1 cannot send a second one after prior knowledge, with or without us.
	const requests = 60
	curl := func(t *testing.T, flag, version string) {
		t.Helper()
		before := counted(t, ns, "curl", "sluice_requests_total", `service="`+ns+`/web:81"`, `code_class="2xx"`)
		out := kube(t, "-n", ns, "exec", "curl", "-c", "app", "--", "sh", "-c",
			fmt.Sprintf(`for i in $(seq %d); do curl -sS --max-time 10 %s -w ' %%{http_version}\n' http://web:81/pod || exit; done`, requests, flag))
		pods := map[string]int{}
		for line := range strings.Lines(out) {
			pod, got, _ := strings.Cut(strings.TrimSpace(line), " ")
			if pods[pod]++; got != version {
				t.Errorf("HTTP version %s, want %s", got, version)
			}
		}
		even(t, "curl "+flag, pods, 3, 0.2)
		if n := counted(t, ns, "curl", "sluice_requests_total", `service="`+ns+`/web:81"`, `code_class="2xx"`); n != before+requests {
			t.Errorf("the sidecar counts %v requests more, want %d", n-before, requests)
		}
	}
	t.Run("curl with prior knowledge", func(t *testing.T) { curl(t, "--http2-prior-knowledge", "2") })
	t.Run("curl with upgrade", func(t *testing.T) { curl(t, "--http2", "1.1") })
	t.Run("net/http", func(t *testing.T) {
		s := runLoad(t, ns, "client", "--h2c", "--url=http://web:81/pod", "--requests=3000")
		s.mustBeWhole(t, 3000)
		even(t, "one request after the other", s.Pods, 3, 0.05)
		s = runLoad(t, ns, "client", "--h2c", "--one-connection", "--concurrency=10", "--rate=1000", "--url=http://web:81/pod", "--requests=3000")
		s.mustBeWhole(t, 3000)
		even(t, "ten at a time", s.Pods, 3, crowded)
		if s.Connections != 1 {
			t.Errorf("%d connections, want 1", s.Connections)
		}
		runLoad(t, ns, "client", "--h2c", "--url=http://web:81/echo", "--requests=300", "--method=POST", "--body-bytes=200000").mustBeWhole(t, 300)
	})
}
