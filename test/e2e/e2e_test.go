//go:build e2e

// Package e2e tries Sluice on a real cluster, through what users type: kubectl. run.sh says how to run it and where.
package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Images, and the tool that reaches into the node; empty on a cluster of somebody else, where the tests that need it are skipped.
var (
	sluiceImage   = env("SLUICE_IMAGE", "kcluster.local/sluice:dev")
	boxImage      = env("SLUICE_BOX_IMAGE", "kcluster.local/box:1")
	grpcImage     = env("SLUICE_GRPC_IMAGE", "kcluster.local/grpc:1")
	toolsImage    = env("SLUICE_TOOLS_IMAGE", "kcluster.local/tools:1")
	redisImage    = env("SLUICE_REDIS_IMAGE", "kcluster.local/redis:1")
	postgresImage = env("SLUICE_POSTGRES_IMAGE", "kcluster.local/postgres:1")
	nodeTool      = os.Getenv("SLUICE_CLUSTER")
)

const system = "sluice-system"

func env(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

func TestMain(m *testing.M) {
	if os.Getenv("KUBECONFIG") == "" {
		fmt.Println("e2e: KUBECONFIG is not set; test/e2e/run.sh (make e2e) builds and starts a cluster and sets it")
		os.Exit(1)
	}
	began := time.Now()
	if err := install(); err != nil {
		fmt.Println("e2e: install:", err)
		os.Exit(1)
	}
	fmt.Printf("Sluice is installed and available after %.1f s\n", time.Since(began).Seconds())
	os.Exit(m.Run())
}

// install applies the manifests as a user does, with the image exchanged by kustomize.
func install() error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Join(root, "test", "e2e"), ".overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	i := strings.LastIndex(sluiceImage, ":")
	overlay := fmt.Sprintf("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../../../manifests]\nimages:\n- {name: ghcr.io/sluice-mesh/sluice, newName: %s, newTag: %s}\n",
		sluiceImage[:i], sluiceImage[i+1:])
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		return err
	}
	if _, err := run(time.Minute, nil, "apply", "-k", dir); err != nil {
		return err
	}
	_, err = run(2*time.Minute, nil, "-n", system, "rollout", "status", "deployment/sluice-webhook", "--timeout=110s")
	return err
}

// run runs kubectl and answers what it printed; an error holds both of its outputs.
func run(timeout time.Duration, stdin []byte, args ...string) (string, error) {
	return command(timeout, stdin, kubectl(), args...)
}

func kubectl() []string {
	if nodeTool != "" {
		return []string{nodeTool, "kubectl"}
	}
	return []string{"kubectl"}
}

func command(timeout time.Duration, stdin []byte, program []string, args ...string) (string, error) {
	args = append(append([]string(nil), program[1:]...), args...)
	cmd := exec.Command(program[0], args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		return "", err
	}
	timer := time.AfterFunc(timeout, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(program[0]), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), nil
}

// kube runs kubectl and fails the test when it fails.
func kube(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(2*time.Minute, nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// node runs the tool that reaches into the node.
func node(t *testing.T, args ...string) string {
	t.Helper()
	if nodeTool == "" {
		t.Skip("needs to reach into the node, which only the project's own cluster allows (SLUICE_CLUSTER)")
	}
	out, err := command(2*time.Minute, nil, []string{nodeTool}, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// soon asks until ok is answered true, and fails the test with the last answer when that takes too long.
func soon(t *testing.T, within time.Duration, what string, ok func() (string, bool)) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		last, done := ok()
		if done {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v; last: %s", what, within, last)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// namespace makes a namespace of the test's own, which goes with it.
func namespace(t *testing.T, labels ...string) string {
	t.Helper()
	name := "e2e-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	name = strings.TrimSuffix(name[:min(len(name), 50)], "-") + fmt.Sprintf("-%d", time.Now().UnixNano()%1e6)
	kube(t, "create", "namespace", name)
	for _, l := range labels {
		kube(t, "label", "namespace", name, l)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(diagnose(name))
		}
		run(time.Minute, nil, "delete", "namespace", name, "--wait=false")
	})
	// Pods cannot be made before the namespace has its service account and the authority's certificate.
	soon(t, 30*time.Second, "service account of "+name, func() (string, bool) {
		_, err := run(10*time.Second, nil, "-n", name, "get", "serviceaccount/default", "configmap/kube-root-ca.crt")
		return fmt.Sprint(err), err == nil
	})
	if slices.Contains(labels, optIn) {
		// Until a namespace that has just opted in has its read access, calls of its pods go where they would without us.
		soon(t, 30*time.Second, "read access of "+name, func() (string, bool) {
			out, err := run(10*time.Second, nil, "auth", "can-i", "watch", "endpointslices.discovery.k8s.io", "--all-namespaces",
				"--as=system:serviceaccount:"+name+":default", "--as-group=system:serviceaccounts", "--as-group=system:serviceaccounts:"+name)
			return out, err == nil
		})
	}
	return name
}

const optIn = "sluice.mesh/inject=enabled"

// diagnose tells what a failed test leaves behind: its pods, what went wrong around them, and what its sidecars say and have counted.
func diagnose(ns string) string {
	var b strings.Builder
	add := func(title, text string, err error) {
		if err != nil {
			text += err.Error()
		}
		fmt.Fprintf(&b, "%s:\n%s\n", title, strings.TrimSpace(text))
	}
	pods, err := run(20*time.Second, nil, "-n", ns, "get", "pods", "-o", "wide")
	add("pods", pods, err)
	events, err := run(20*time.Second, nil, "-n", ns, "get", "events", "--field-selector=type!=Normal", "--sort-by=.lastTimestamp")
	add("events", events, err)
	all, err := run(20*time.Second, nil, "-n", ns, "get", "pods", "-o",
		`jsonpath={range .items[*]}{.metadata.name}{" "}{.spec.initContainers[*].name}{"\n"}{end}`)
	if err != nil {
		add("sidecars", all, err)
	}
	for line := range strings.Lines(all) {
		pod, containers, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(containers, "sluice-proxy") {
			continue
		}
		log, err := run(20*time.Second, nil, "-n", ns, "logs", pod, "-c", "sluice-proxy", "--tail=20")
		add(pod+" says", log, err)
		page, err := run(20*time.Second, nil, "get", "--raw", "/api/v1/namespaces/"+ns+"/pods/"+pod+":15302/proxy/metrics")
		add(pod+" has counted", nonZero(page), err)
	}
	return b.String()
}

// nonZero are the counters and gauges of ours that are not zero, without the buckets of histograms.
func nonZero(page string) string {
	var keep []string
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "sluice_") && !strings.Contains(line, "_bucket{") && !strings.HasSuffix(line, " 0") {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "\n")
}

// apply applies manifests to a namespace.
func apply(t *testing.T, ns, yaml string) {
	t.Helper()
	if out, err := tryApply(ns, yaml); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func tryApply(ns, yaml string) (string, error) {
	return run(time.Minute, []byte(yaml), "-n", ns, "apply", "-f", "-")
}

// servers are replicas of the test application behind a Service of the same name on port 80; they have no preStop hook and end
// as ordinary servers do on SIGTERM.
func servers(t *testing.T, ns, name string, replicas int, more ...string) {
	t.Helper()
	apply(t, ns, serverYAML(name, replicas, strings.Join(more, "")))
	available(t, ns, name)
}

func serverYAML(name string, replicas int, env string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: %[1]s, sluice.mesh/inject: disabled}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: box
        image: %[3]s
        args: [serve]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: ROUND, value: "%[4]s"}
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports:
  - {name: http, port: 80, targetPort: http}
  - {name: https, port: 443, targetPort: 8443}
  - {name: banner, port: 9000, targetPort: 9000}
  - {name: echo, port: 9001, targetPort: 9001}
`, name, replicas, boxImage, env)
}

func available(t *testing.T, ns, deployment string) {
	t.Helper()
	kube(t, "-n", ns, "rollout", "status", "deployment/"+deployment, "--timeout=100s")
}

// podYAML is a pod that runs the test application with arguments.
func podYAML(name, extra string, args ...string) string { return podOf(boxImage, name, extra, args...) }

func podOf(image, name, extra string, args ...string) string {
	b, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  %s
  containers:
  - {name: app, image: "%s", args: %s}
`, name, extra, image, b)
}

// sleeper makes a pod that waits to be told by exec.
func sleeper(t *testing.T, ns, name string) {
	t.Helper()
	apply(t, ns, podYAML(name, "", "sleep"))
	kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/"+name, "--timeout=60s")
}

// exec runs the test application in a pod.
func execBox(ns, pod string, args ...string) (string, error) {
	return run(2*time.Minute, nil, append([]string{"-n", ns, "exec", pod, "-c", "app", "--", "box"}, args...)...)
}

// summary is what "box load" prints at its end.
type summary struct {
	Final    bool           `json:"final"`
	Requests int            `json:"requests"`
	OK       int            `json:"ok"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors"`
	Status   map[string]int `json:"status"`
	Pods     map[string]int `json:"pods"`

	Connections int   `json:"connections"`
	Owners      owned `json:"owners"` // pods by key, of a load with keys

	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
	MaxMs float64 `json:"maxMs"`
}

// load is a pod that calls, from its start on, and whose last words are a summary. It needs neither kubectl nor the API server
// meanwhile.
type load struct{ ns, pod string }

func startLoad(t *testing.T, ns, pod string, args ...string) load {
	t.Helper()
	apply(t, ns, podYAML(pod, "", append([]string{"load", "--follow"}, args...)...))
	l := load{ns, pod}
	soon(t, time.Minute, "the load begins", func() (string, bool) {
		out, _ := run(10*time.Second, nil, "-n", ns, "logs", pod, "-c", "app")
		return out, strings.Contains(out, `"requests"`)
	})
	return l
}

// wait waits for the load's end and answers what it printed.
func (l load) wait(t *testing.T, within time.Duration, logs ...string) string {
	t.Helper()
	soon(t, within, l.pod+" ends", func() (string, bool) {
		out, err := run(10*time.Second, nil, "-n", l.ns, "get", "pod", l.pod, "-o", "jsonpath={.status.phase}")
		return fmt.Sprint(out, err), err == nil && (out == "Succeeded" || out == "Failed")
	})
	return kube(t, append([]string{"-n", l.ns, "logs", l.pod, "-c", "app"}, logs...)...)
}

// end waits for the load's end and answers its summary.
func (l load) end(t *testing.T, within time.Duration) summary {
	t.Helper()
	out := l.wait(t, within)
	s, err := lastSummary(out)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	t.Logf("%d requests, %d failed, p50 %.1f ms, p99 %.1f ms, max %.1f ms, pods %v", s.Requests, s.Failed, s.P50Ms, s.P99Ms, s.MaxMs, s.Pods)
	return s
}

// mustBeWhole fails the test unless every request was answered 200.
func (s summary) mustBeWhole(t *testing.T, atLeast int) {
	t.Helper()
	if s.Failed != 0 || s.OK != s.Requests || s.Requests < atLeast || s.Status["200"] != s.Requests {
		t.Errorf("of %d requests (at least %d wanted) %d failed: errors %v, status %v", s.Requests, atLeast, s.Failed, s.Errors, s.Status)
	}
}

func lastSummary(out string) (summary, error) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		var s summary
		if json.Unmarshal([]byte(lines[i]), &s) == nil && s.Final {
			return s, nil
		}
	}
	return summary{}, fmt.Errorf("no summary")
}

// runLoad runs a load in a pod that waits, to its end.
func runLoad(t *testing.T, ns, pod string, args ...string) summary {
	t.Helper()
	out, err := execBox(ns, pod, append([]string{"load"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := lastSummary(out)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	t.Logf("%d requests, %d failed, p50 %.1f ms, p99 %.1f ms, pods %v", s.Requests, s.Failed, s.P50Ms, s.P99Ms, s.Pods)
	return s
}

// get reads an object as JSON into v.
func get(t *testing.T, v any, args ...string) {
	t.Helper()
	out := kube(t, append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}

// counted adds up the series of one of the sidecar's metrics, of those that have all the given texts in them. It asks through the API
// server, so it works on any cluster.
func counted(t *testing.T, ns, pod, metric string, with ...string) float64 {
	t.Helper()
	page := kube(t, "get", "--raw", "/api/v1/namespaces/"+ns+"/pods/"+pod+":15302/proxy/metrics")
	sum := 0.0
lines:
	for _, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, metric+"{") && !strings.HasPrefix(line, metric+" ") {
			continue
		}
		for _, text := range with {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum += n
	}
	return sum
}
