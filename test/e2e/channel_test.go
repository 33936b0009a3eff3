//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// grpcServers is a Deployment of the gRPC application. Its pods have the label app, which the Service of that name selects; like
// ordinary servers they end on SIGTERM and have no preStop hook.
func grpcServers(name, app string, replicas int, round string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: %[3]d
  selector: {matchLabels: {part: %[1]s}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: %[2]s, part: %[1]s, sluice.mesh/inject: disabled}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: box
        image: %[4]s
        args: [serve, --drain=5s]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: ROUND, value: "%[5]s"}
        ports: [{name: grpc, containerPort: 9090}]
        readinessProbe: {grpc: {port: 9090, service: grpc.testing.TestService}, periodSeconds: 1, failureThreshold: 1}
---
`, name, app, replicas, grpcImage, round)
}

// grpcService selects the pods of an app. Its port's name says nothing of the protocol; more is added to the port, annotations to
// the Service.
func grpcService(name, app, more, annotations string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {%s}}
spec: {selector: {app: %s}, ports: [{name: calls, port: 80, targetPort: 9090%s}]}
---
`, name, annotations, app, more)
}

// grpcPod is a pod that runs a command of the gRPC application.
func grpcPod(name string, args ...string) string { return podOf(grpcImage, name, "", args...) }

// calls is what the gRPC application's load prints, of some time and at its end.
type calls struct {
	Requests    int            `json:"requests"`
	Failed      int            `json:"failed"`
	Connections int            `json:"connections"`
	Pods        map[string]int `json:"pods"`
	Errors      map[string]int `json:"errors"`
	P50Ms       float64        `json:"p50_ms"`
	P99Ms       float64        `json:"p99_ms"`
	MaxMs       float64        `json:"max_ms"`
	Seconds     float64        `json:"seconds"`
	// printed is when, by the node's clock, which is this machine's.
	printed time.Time
}

// began is when the time began that the calls are of.
func (c calls) began() time.Time {
	return c.printed.Add(-time.Duration(c.Seconds * float64(time.Second)))
}

// mustBeWhole fails the test unless every call was answered, on one connection.
func (c calls) mustBeWhole(t *testing.T, atLeast int) {
	t.Helper()
	if c.Failed != 0 || c.Requests < atLeast || c.Connections != 1 {
		t.Errorf("of %d calls (at least %d wanted) on %d connections (want 1) %d failed: %v", c.Requests, atLeast, c.Connections, c.Failed, c.Errors)
	}
}

func (c calls) log(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d calls on %d connections, %d failed %v, p50 %.1f ms, p99 %.1f ms, max %.1f ms, pods %v", what, c.Requests, c.Connections,
		c.Failed, c.Errors, c.P50Ms, c.P99Ms, c.MaxMs, c.Pods)
}

// channel is a pod that makes unary calls on one channel from its start on, and says how it goes all the time.
type channel load

// lineTime is how often a channel says how it goes, when the machine has time for it.
const lineTime = 100 * time.Millisecond

func startChannel(t *testing.T, ns, pod string, args ...string) channel {
	t.Helper()
	apply(t, ns, grpcPod(pod, append([]string{"load", "--follow", "--every=" + lineTime.String()}, args...)...))
	c := channel{ns, pod}
	soon(t, time.Minute, "the calls begin", func() (string, bool) {
		out, _ := run(10*time.Second, nil, "-n", ns, "logs", pod, "-c", "app")
		return out, strings.Contains(out, `"requests"`)
	})
	return c
}

// end waits for the end, and answers the whole and what was said on the way there.
func (c channel) end(t *testing.T, within time.Duration) (whole calls, parts []calls) {
	t.Helper()
	out := load(c).wait(t, within, "--timestamps")
	for line := range strings.Lines(out) {
		at, said, _ := strings.Cut(line, " ")
		var p calls
		var err error
		if p.printed, err = time.Parse(time.RFC3339Nano, at); err == nil {
			err = json.Unmarshal([]byte(said), &p)
		}
		if err != nil {
			t.Fatalf("%v in %q of:\n%s", err, line, out)
		}
		parts = append(parts, p)
	}
	whole, parts = parts[len(parts)-1], parts[:len(parts)-1]
	whole.log(t, c.pod)
	return whole, parts
}

// callIn makes calls from a pod that waits, to their end.
func callIn(t *testing.T, ns, pod string, args ...string) calls {
	t.Helper()
	out, err := execBox(ns, pod, append([]string{"load"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var c calls
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	c.log(t, strings.Join(args, " "))
	return c
}

// even fails the test unless so many pods have the same share, give or take a part of it.
func even(t *testing.T, what string, got map[string]int, pods int, part float64) {
	t.Helper()
	total := 0
	for _, n := range got {
		total += n
	}
	want := float64(total) / float64(pods)
	if len(got) != pods {
		t.Errorf("%s: %v, want %d pods", what, got, pods)
	}
	for pod, n := range got {
		if off := float64(n)/want - 1; off < -part || off > part {
			t.Errorf("%s: %s got %d, %+.1f %% off its share, want ± %.0f %%: %v", what, pod, n, 100*off, 100*part, got)
		}
	}
}

// readiness is when each pod of a Service was first seen ready, and when it was not any more, as the API server tells everybody who
// watches. The Service has one EndpointSlice.
type readiness struct {
	mu       sync.Mutex
	at, gone map[string]time.Time
}

func watchReadiness(t *testing.T, ns, service string) *readiness {
	t.Helper()
	args := append(kubectl()[1:], "-n", ns, "get", "endpointslices", "-l", "kubernetes.io/service-name="+service, "--watch", "-o", "json")
	cmd := exec.Command(kubectl()[0], args...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &readiness{at: map[string]time.Time{}, gone: map[string]time.Time{}}
	var reader sync.WaitGroup
	reader.Go(func() { r.read(out) })
	t.Cleanup(func() {
		cmd.Process.Kill() // the error would be that it has ended
		reader.Wait()
		cmd.Wait()
	})
	return r
}

// read reads EndpointSlices until there are no more.
func (r *readiness) read(from io.Reader) {
	slices := json.NewDecoder(from)
	for {
		var slice struct {
			Endpoints []struct {
				Conditions struct{ Ready bool }
				TargetRef  struct{ Name string }
			}
		}
		if slices.Decode(&slice) != nil {
			return
		}
		now := time.Now()
		ready := map[string]bool{}
		for _, e := range slice.Endpoints {
			ready[e.TargetRef.Name] = e.Conditions.Ready
		}
		r.mu.Lock()
		for pod, yes := range ready {
			if yes && r.at[pod].IsZero() {
				r.at[pod] = now
			}
		}
		for pod := range r.at {
			if !ready[pod] && r.gone[pod].IsZero() {
				r.gone[pod] = now
			}
		}
		r.mu.Unlock()
	}
}

// seen answers what was seen so far.
func (r *readiness) seen() (at, gone map[string]time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.at), maps.Clone(r.gone)
}
