//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// sidecarBytes is how much memory a sidecar may take with nothing to do, discovery by the Kubernetes API included.
const sidecarBytes = 20e6

// One kept connection: without Sluice all requests reach one pod, with it they are spread evenly.
func TestKeepAliveClientSpreads(t *testing.T) {
	ns, plain := namespace(t, optIn), namespace(t)
	servers(t, ns, "web", 3)
	sleeper(t, ns, "client")
	sleeper(t, plain, "client")

	idle := counted(t, ns, "client", "process_resident_memory_bytes")
	if idle > sidecarBytes {
		t.Errorf("a sidecar with nothing to do takes %.1f MB, more than %.0f", idle/1e6, sidecarBytes/1e6)
	}
	without := runLoad(t, plain, "client", "--url=http://web."+ns+"/pod", "--requests=300")
	without.mustBeWhole(t, 300)
	if len(without.Pods) != 1 {
		t.Errorf("without Sluice one connection reached %v, want one pod: the comparison is not fair", without.Pods)
	}
	with := runLoad(t, ns, "client", "--url=http://web/pod", "--requests=3000")
	with.mustBeWhole(t, 3000)
	if len(with.Pods) != 3 {
		t.Fatalf("the requests reached %v, want 3 pods", with.Pods)
	}
	for pod, n := range with.Pods {
		if math.Abs(float64(n)-1000) > 50 {
			t.Errorf("%s got %d of 3,000 requests, want 1,000 ± 5 %%", pod, n)
		}
	}
	t.Logf("the sidecar took %.1f MB with nothing to do, and takes %.1f MB now", idle/1e6, counted(t, ns, "client", "process_resident_memory_bytes")/1e6)
	// HTTP/1.0-style clients, a connection for each request, and a POST.
	runLoad(t, ns, "client", "--url=http://web/pod", "--requests=300", "--keep-alive=false").mustBeWhole(t, 300)
	runLoad(t, ns, "client", "--url=http://web/echo", "--requests=300", "--method=POST", "--body-bytes=20000").mustBeWhole(t, 300)
}

func TestScaleUnderLoad(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	l := startLoad(t, ns, "load", "--url=http://web/pod", "--rate=500", "--concurrency=10", "--duration=30s")
	time.Sleep(2 * time.Second)
	kube(t, "-n", ns, "scale", "deployment/web", "--replicas=6")
	available(t, ns, "web")
	time.Sleep(4 * time.Second)
	kube(t, "-n", ns, "scale", "deployment/web", "--replicas=2")
	s := l.end(t, time.Minute)
	s.mustBeWhole(t, 14000)
	if len(s.Pods) != 6 {
		t.Errorf("the requests reached %d pods, want all 6: %v", len(s.Pods), s.Pods)
	}
}

// No preStop sleep: pods stop answering as soon as they are told to end.
func TestRollingUpdateUnderLoad(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	l := startLoad(t, ns, "load", "--url=http://web/pod", "--rate=500", "--concurrency=10", "--duration=30s")
	// POST may not be sent twice, so it shows what GET's retries could hide.
	post := startLoad(t, ns, "post", "--url=http://web/echo", "--method=POST", "--body=hello", "--expect=hello", "--rate=100", "--concurrency=5", "--duration=30s")
	// Go's client of HTTP/2 makes do with one connection.
	h2 := startLoad(t, ns, "h2", "--h2c", "--one-connection", "--url=http://web/pod", "--rate=100", "--concurrency=5", "--duration=30s")
	time.Sleep(2 * time.Second)
	apply(t, ns, serverYAML("web", 3, "2"))
	available(t, ns, "web")
	s := l.end(t, time.Minute)
	s.mustBeWhole(t, 14000)
	post.end(t, time.Minute).mustBeWhole(t, 2800)
	if s := h2.end(t, time.Minute); s.Connections != 1 {
		t.Errorf("HTTP/2 took %d connections, want 1", s.Connections)
	} else {
		s.mustBeWhole(t, 2800)
	}
	if len(s.Pods) != 6 {
		t.Errorf("the requests reached %d pods, want 3 old and 3 new ones: %v", len(s.Pods), s.Pods)
	}
}

func TestPodKilledUnderLoad(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	l := startLoad(t, ns, "load", "--url=http://web/pod", "--rate=500", "--concurrency=10", "--duration=15s")
	h2 := startLoad(t, ns, "h2", "--h2c", "--one-connection", "--url=http://web/pod", "--rate=300", "--concurrency=10", "--duration=15s")
	time.Sleep(2 * time.Second)
	pods := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "name"))
	for _, p := range pods[:2] {
		node(t, "kill", ns+"/"+strings.TrimPrefix(p, "pod/"))
		time.Sleep(3 * time.Second)
	}
	l.end(t, time.Minute).mustBeWhole(t, 7000)
	h2.end(t, time.Minute).mustBeWhole(t, 4000)
}

func TestServerPodDeletedByForce(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	l := startLoad(t, ns, "load", "--url=http://web/pod", "--rate=300", "--concurrency=10", "--duration=15s")
	time.Sleep(2 * time.Second)
	pods := strings.Fields(kube(t, "-n", ns, "get", "pods", "-l", "app=web", "-o", "name"))
	kube(t, "-n", ns, "delete", pods[0], "--grace-period=0", "--force")
	l.end(t, time.Minute).mustBeWhole(t, 4000)
}

// A minute without an API server: known Services go on, the ones nobody asked for yet pass through to kube-proxy.
func TestAPIServerAwayUnderLoad(t *testing.T) {
	if nodeTool == "" {
		t.Skip("needs to end the API server, which only the project's own cluster allows (SLUICE_CLUSTER)")
	}
	ns := namespace(t, optIn)
	servers(t, ns, "web", 3)
	servers(t, ns, "later", 2)
	known := startLoad(t, ns, "known", "--url=http://web/pod", "--rate=200", "--concurrency=5", "--duration=75s")
	sleeper(t, ns, "client")
	later := kube(t, "-n", ns, "get", "service", "later", "-o", "jsonpath={.spec.clusterIP}")

	node(t, "stop-apiserver")
	back := false
	defer func() {
		if !back {
			node(t, "start-apiserver")
		}
	}()
	out := node(t, "in-pod", ns+"/client", "curl", "-sS", "--max-time", "10", "http://"+later+"/pod")
	if !strings.HasPrefix(out, "later-") {
		t.Errorf("a Service that was never called before answered %q without an API server, want a pod's name", out)
	}
	time.Sleep(60 * time.Second)
	node(t, "start-apiserver")
	back = true
	known.end(t, 2*time.Minute).mustBeWhole(t, 14000)
	// And what changes after is seen.
	kube(t, "-n", ns, "scale", "deployment/web", "--replicas=5")
	available(t, ns, "web")
	soon(t, 30*time.Second, "all five pods get requests", func() (string, bool) {
		s := runLoad(t, ns, "client", "--url=http://web/pod", "--requests=200")
		return strings.Join(keys(s.Pods), " "), len(s.Pods) == 5
	})
	// The cluster's DNS and kube-proxy come back in their own time, up to a minute later. Until then names of new Services are unknown.
	servers(t, ns, "new", 1)
	soon(t, 3*time.Minute, "a new Service is known by name", func() (string, bool) {
		out, err := execBox(ns, "client", "load", "--url=http://new/pod", "--requests=1")
		s, _ := lastSummary(out)
		return fmt.Sprint(out, err), err == nil && s.OK == 1
	})
}

func keys(m map[string]int) (ks []string) {
	for k := range m {
		ks = append(ks, k)
	}
	return ks
}
