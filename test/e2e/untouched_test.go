//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// What must not change: everything but HTTP to Services.
func TestTrafficThatMustNotChange(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 2)
	apply(t, ns, `
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: web.`+ns+`.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: by-node}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
`)
	sleeper(t, ns, "client")
	box := func(t *testing.T, args ...string) string {
		t.Helper()
		out, err := execBox(ns, "client", args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}

	t.Run("DNS", func(t *testing.T) {
		if out := box(t, "get", "--expect", "web-", "http://web."+ns+".svc.cluster.local/pod"); !strings.Contains(out, "web-") {
			t.Errorf("got %q", out)
		}
	})
	t.Run("TLS is the server's", func(t *testing.T) {
		// Each pod makes a certificate of its own at its start; asked at their own addresses, nobody is between.
		certificates := map[string]bool{}
		for _, ip := range strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].status.podIP}")) {
			certificates[fingerprint(t, box(t, "tls", "--servername=box.test", ip+":8443"))] = true
		}
		before := counted(t, ns, "client", "sluice_opaque_connections_total", ns+"/web:443")
		got := fingerprint(t, box(t, "tls", "--servername=box.test", "web:443"))
		if len(certificates) != 2 || !certificates[got] {
			t.Errorf("the client saw certificate %s, want one of the servers' %v", got, certificates)
		}
		if n := counted(t, ns, "client", "sluice_opaque_connections_total", ns+"/web:443"); n != before+1 {
			t.Errorf("the sidecar counts %v connections, %v before: it was not on the way", n, before)
		}
	})
	t.Run("the server speaks first", func(t *testing.T) {
		began := time.Now()
		box(t, "tcp", "--banner", "web:9000")
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
	t.Run("half-close", func(t *testing.T) { box(t, "tcp", "--bytes=300000", "web:9001") })
	t.Run("headless", func(t *testing.T) { box(t, "get", "--expect", "web-", "http://headless:8080/pod") })
	t.Run("ExternalName", func(t *testing.T) { box(t, "get", "--expect", "web-", "http://elsewhere/pod") })
	t.Run("NodePort of itself", func(t *testing.T) {
		port := kube(t, "-n", ns, "get", "service", "by-node", "-o", "jsonpath={.spec.ports[0].nodePort}")
		ip := kube(t, "get", "nodes", "-o", `jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}`)
		box(t, "get", "--expect", "web-", "http://"+ip+":"+port+"/pod")
	})
	t.Run("a Service without endpoints", func(t *testing.T) {
		out, err := execBox(ns, "client", "get", "http://nobody/")
		if err == nil {
			t.Fatalf("answered: %s", out)
		}
		// Without us the connect is refused. With us it has succeeded when kube-proxy's refusal comes: README, "One difference".
		if !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("got %v, want a connection that is reset", err)
		}
	})
	t.Run("an address outside the cluster", func(t *testing.T) {
		if nodeTool == "" {
			t.Skip("needs an address outside the cluster that pods reach")
		}
		out, err := exec.Command("sh", "-c", "ip -4 -o addr show | awk '/slcluster/ {sub(\"/.*\", \"\", $4); print $4; exit}'").Output()
		host := strings.TrimSpace(string(out))
		if err != nil || host == "" {
			t.Fatalf("this machine's address towards the cluster: %q, %v", host, err)
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "from ", r.RemoteAddr) })}
		go srv.Serve(ln)
		defer srv.Shutdown(context.Background())
		ip := kube(t, "-n", ns, "get", "pod", "client", "-o", "jsonpath={.status.podIP}")
		box(t, "get", "--expect", "from "+ip, "http://"+ln.Addr().String()+"/")
	})
}

// fingerprint reads the certificate's out of what "box tls" prints.
func fingerprint(t *testing.T, out string) string {
	t.Helper()
	var seen struct{ CertSHA256 string }
	if err := json.Unmarshal([]byte(out), &seen); err != nil || seen.CertSHA256 == "" {
		t.Fatalf("no fingerprint in %s: %v", out, err)
	}
	return seen.CertSHA256
}

// Databases with their own clients.
func TestDatabasesThroughTheProxy(t *testing.T) {
	ns := namespace(t, optIn)
	apply(t, ns, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: redis, labels: {app: redis, sluice.mesh/inject: disabled}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%s"}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: v1
kind: Pod
metadata: {name: postgres, labels: {app: postgres, sluice.mesh/inject: disabled}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%s"}]}
---
apiVersion: v1
kind: Service
metadata: {name: postgres}
spec: {selector: {app: postgres}, ports: [{port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: redis-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%[1]s", command: [sleep, "3600"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: postgres-client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: app, image: "%[2]s", command: [sleep, "3600"]}]}
`, redisImage, postgresImage))
	for _, p := range []string{"redis", "postgres", "redis-client", "postgres-client"} {
		kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/"+p, "--timeout=90s")
	}
	exec := func(pod string, args ...string) (string, error) {
		return run(time.Minute, nil, append([]string{"-n", ns, "exec", pod, "-c", "app", "--"}, args...)...)
	}
	soon(t, 30*time.Second, "redis answers", func() (string, bool) {
		out, err := exec("redis-client", "redis-cli", "-h", "redis", "set", "k", "v")
		return fmt.Sprint(out, err), strings.HasPrefix(out, "OK")
	})
	if out, err := exec("redis-client", "redis-cli", "-h", "redis", "get", "k"); err != nil || strings.TrimSpace(out) != "v" {
		t.Errorf("redis: got %q, %v", out, err)
	}
	soon(t, time.Minute, "postgres answers", func() (string, bool) {
		out, err := exec("postgres-client", "psql", "-h", "postgres", "-U", "postgres", "-Atc", "select sum(i) from generate_series(1, 100000) i")
		return fmt.Sprint(out, err), strings.TrimSpace(out) == "5000050000"
	})
	for pod, service := range map[string]string{"redis-client": "/redis:6379", "postgres-client": "/postgres:5432"} {
		if n := counted(t, ns, pod, "sluice_opaque_connections_total", ns+service); n < 1 {
			t.Errorf("the sidecar of %s counts no connection to %s: it was not on the way", pod, service)
		}
	}
}
