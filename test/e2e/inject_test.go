//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	initName  = "sluice-init"
	proxyName = "sluice-proxy"
)

// pod is as much of a Pod as the tests look at.
type pod struct {
	Metadata struct {
		Name        string            `json:"name"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		InitContainers []map[string]any `json:"initContainers"`
		Containers     []map[string]any `json:"containers"`
		Volumes        []map[string]any `json:"volumes"`
	} `json:"spec"`
}

func names(cs []map[string]any) (ns []string) {
	for _, c := range cs {
		ns = append(ns, fmt.Sprint(c["name"]))
	}
	return ns
}

func (p *pod) injected() bool {
	all := strings.Join(append(names(p.Spec.InitContainers), names(p.Spec.Containers)...), " ")
	return strings.Contains(all, initName) && strings.Contains(all, proxyName)
}

// richPod uses what injection must leave alone.
const richPod = `
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: rich, tier: "1"}
  annotations: {example.com/note: keep}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  shareProcessNamespace: true
  hostname: rich
  subdomain: sub
  dnsConfig: {options: [{name: ndots, value: "2"}]}
  securityContext: {fsGroup: 2000, supplementalGroups: [3000]}
  volumes: [{name: data, emptyDir: {}}]
  initContainers:
  - {name: first, image: "%[2]s", args: [get, --expect, web-, "http://web/pod"], volumeMounts: [{name: data, mountPath: /data}]}
  containers:
  - name: app
    image: "%[2]s"
    args: [sleep]
    env: [{name: A, value: b}]
    ports: [{name: http, containerPort: 8080}]
    resources: {requests: {cpu: 10m}, limits: {memory: 64Mi}}
    volumeMounts: [{name: data, mountPath: /data}]
    securityContext: {runAsUser: 1234, allowPrivilegeEscalation: false}
`

func TestOptInOptOutAndFieldsKept(t *testing.T) {
	ns, plain := namespace(t, optIn), namespace(t)
	servers(t, ns, "web", 1)
	apply(t, ns, fmt.Sprintf(richPod, "rich", boxImage))
	apply(t, plain, strings.Replace(fmt.Sprintf(richPod, "rich", boxImage), "http://web/pod", "http://web."+ns+"/pod", 1))
	for _, way := range []string{"labels", "annotations"} {
		apply(t, ns, strings.Replace(podYAML("out-"+way, "", "sleep"), "metadata: {name: out-"+way+"}",
			"metadata: {name: out-"+way+", "+way+": {sluice.mesh/inject: disabled}}", 1))
		var out pod
		get(t, &out, "-n", ns, "get", "pod", "out-"+way)
		if out.injected() {
			t.Errorf("a pod with %s sluice.mesh/inject: disabled was injected", way)
		}
	}
	// The pod's own init container calls a Service before the application starts: rules and proxy are up by then.
	kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/rich", "--timeout=60s")
	mustHaveStartedBehindTheProxy(t, ns, "rich", "first")
	if n := counted(t, ns, "rich", "sluice_requests_total", `service="`+ns+`/web:80"`, `code_class="2xx"`); n != 1 {
		t.Errorf("the sidecar counts %v requests of the pod's own init container, want 1: it did not go through the sidecar", n)
	}
	var with, without pod
	get(t, &with, "-n", ns, "get", "pod", "rich")
	get(t, &without, "-n", plain, "get", "pod", "rich")
	if !with.injected() {
		t.Fatalf("not injected: init containers %v, containers %v", names(with.Spec.InitContainers), names(with.Spec.Containers))
	}
	if without.injected() {
		t.Fatal("a pod of a namespace without the label was injected")
	}
	if got := names(with.Spec.InitContainers); len(got) != 3 || got[0] != initName || got[1] != proxyName || got[2] != "first" {
		t.Errorf("init containers are %v, want rules, proxy, then the application's", got)
	}
	var specs [2]map[string]any
	for i, n := range []string{ns, plain} {
		var whole map[string]any
		get(t, &whole, "-n", n, "get", "pod", "rich")
		specs[i] = whole["spec"].(map[string]any)
	}
	withoutOurs(specs[0])
	url := "http://web." + ns + "/pod"
	first := specs[1]["initContainers"].([]any)[0].(map[string]any)
	for i, a := range first["args"].([]any) {
		if a == url {
			first["args"].([]any)[i] = "http://web/pod"
		}
	}
	if !reflect.DeepEqual(specs[0], specs[1]) {
		a, _ := json.MarshalIndent(specs[0], "", " ")
		b, _ := json.MarshalIndent(specs[1], "", " ")
		t.Errorf("with our parts taken out the injected pod's spec is\n%s\nwant what the same pod is elsewhere\n%s", a, b)
	}
	if with.Metadata.Annotations["example.com/note"] != "keep" || with.Metadata.Labels["tier"] != "1" {
		t.Errorf("labels %v, annotations %v", with.Metadata.Labels, with.Metadata.Annotations)
	}

	// Creating an injected pod again, as a copy, injects nothing more.
	var copied map[string]any
	get(t, &copied, "-n", ns, "get", "pod", "rich")
	meta := copied["metadata"].(map[string]any)
	copied["metadata"] = map[string]any{"name": "copied", "labels": meta["labels"], "annotations": meta["annotations"]}
	delete(copied, "status")
	delete(copied["spec"].(map[string]any), "nodeName")
	b, _ := json.Marshal(copied)
	apply(t, ns, string(b))
	var again pod
	get(t, &again, "-n", ns, "get", "pod", "copied")
	if a, b := names(again.Spec.InitContainers), names(with.Spec.InitContainers); !reflect.DeepEqual(a, b) {
		t.Errorf("injected again: %v, want %v", a, b)
	}
}

// mustHaveStartedBehindTheProxy fails the test when a container had to be restarted, as it is when its first call fails, or began
// before the proxy was ready.
func mustHaveStartedBehindTheProxy(t *testing.T, ns, name, container string) {
	t.Helper()
	type status struct {
		Name         string
		RestartCount int
		Started      bool
		State        map[string]struct{ StartedAt time.Time }
	}
	var p struct {
		Status struct{ InitContainerStatuses, ContainerStatuses []status }
	}
	get(t, &p, "-n", ns, "get", "pod", name)
	began := func(s status) time.Time {
		for _, state := range s.State {
			return state.StartedAt
		}
		return time.Time{}
	}
	var proxy, app status
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		switch s.Name {
		case proxyName:
			proxy = s
		case container:
			app = s
		}
	}
	if app.RestartCount != 0 || !proxy.Started || proxy.RestartCount != 0 || began(app).Before(began(proxy)) {
		t.Errorf("%s was started %d times more, at %v; the proxy (ready %v, started %d times more) at %v", container, app.RestartCount,
			began(app), proxy.Started, proxy.RestartCount, began(proxy))
	}
}

func withoutOurs(spec map[string]any) {
	for _, field := range []string{"initContainers", "volumes"} {
		var kept []any
		list, _ := spec[field].([]any)
		for _, c := range list {
			if !strings.HasPrefix(fmt.Sprint(c.(map[string]any)["name"]), "sluice-") {
				kept = append(kept, c)
			}
		}
		if spec[field] = kept; kept == nil {
			delete(spec, field)
		}
	}
}

func TestWrongAnnotationIsRefusedWithWhatIsAllowed(t *testing.T) {
	ns := namespace(t, optIn)
	for _, c := range []struct{ annotation, want string }{
		{`sluice.mesh/exclude-ports: "80,http"`, "exclude-ports"},
		{`sluice.mesh/no-such-setting: "1"`, "no-such-setting"},
		{`sluice.mesh/log-level: loud`, "loud"},
	} {
		out, err := tryApply(ns, strings.Replace(podYAML("wrong", "", "sleep"), "{name: wrong}", "{name: wrong, annotations: {"+c.annotation+"}}", 1))
		if err == nil {
			t.Errorf("%s: accepted: %s", c.annotation, out)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: refused without naming %q: %v", c.annotation, c.want, err)
		}
	}
	out, err := tryApply(ns, "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {sluice.mesh/policy: fastest}}\nspec: {ports: [{port: 80}]}")
	if err == nil || !strings.Contains(err.Error(), "fastest") || !strings.Contains(err.Error(), "least-request") {
		t.Errorf("a Service with an unknown policy: %s, %v; want a refusal that lists the policies", out, err)
	}
}

// A table of keys and owners with a mistake is refused when it is applied, in the words of the sidecars; ConfigMaps that are no Service's
// table are nobody's business.
func TestAWrongTableIsRefused(t *testing.T) {
	ns := namespace(t, optIn)
	table := func(name, owner string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {acme: %q}", name, owner)
	}
	service := func(name, table string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s, annotations: {sluice.mesh/shard-key: 'header:account', "+
			"sluice.mesh/shard-map: lookup, sluice.mesh/shard-lookup: %s}}\nspec: {ports: [{port: 80}]}", name, table)
	}
	applyWith := func(yaml string, flags ...string) error {
		_, err := run(time.Minute, []byte(yaml), append([]string{"-n", ns, "apply", "-f", "-"}, flags...)...)
		return err
	}
	says := func(err error, want string) bool { return err != nil && strings.Contains(err.Error(), want) }
	owner := func() string { return kube(t, "-n", ns, "get", "configmap", "owners", "-o", "jsonpath={.data.acme}") }

	apply(t, ns, table("early", "orders 1")) // no Service has it yet
	apply(t, ns, service("orders", "owners"))
	want := fmt.Sprintf("sluice: ConfigMap %s/owners: the table of Service %[1]s/orders (sluice.mesh/shard-map: lookup): "+
		`entry "acme": owner "orders 1": want a pod's name or an ordinal`, ns)
	// A replica of the webhook may know of the Service a moment later than another.
	row := 0
	soon(t, 20*time.Second, "a wrong table is refused, six times in a row", func() (string, bool) {
		err := applyWith(table("owners", "orders 1"), "--dry-run=server")
		if row++; !says(err, want) {
			row = 0
		}
		return fmt.Sprintf("%v; want %s", err, want), row == 6
	})
	apply(t, ns, table("owners", "orders-1"))
	if err := applyWith(table("owners", "orders 1")); !says(err, want) || owner() != "orders-1" {
		t.Errorf("a right table becomes a wrong one: %v, and the owner is %q; want %s, and orders-1", err, owner(), want)
	}
	apply(t, ns, table("owners", "orders-2"))
	if got := owner(); got != "orders-2" {
		t.Errorf("a right table becomes another: the owner is %q, want orders-2", got)
	}
	kube(t, "-n", ns, "label", "configmap", "owners", "a=b")
	apply(t, ns, table("other", "orders 1")) // nobody's

	// Whoever names a wrong table that is there is warned, and not stopped.
	err := applyWith(service("twin", "early"), "--warnings-as-errors")
	if want := fmt.Sprintf("ConfigMap %s/early is no right table for sluice.mesh/shard-map: lookup", ns); !says(err, want) || says(err, "orders 1") {
		t.Errorf("a Service that names a wrong table: %v; want a warning with %q, and nothing of the ConfigMap's", err, want)
	}
	kube(t, "-n", ns, "get", "service", "twin")
	kube(t, "-n", ns, "label", "configmap", "early", "a=b") // the mistake was there before
	if err := applyWith(service("orders", "owners"), "--warnings-as-errors"); err != nil {
		t.Errorf("a Service that changes nothing: %v", err)
	}
}

func TestJobCompletes(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 2)
	apply(t, ns, fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: app, image: "%s", args: [load, --url=http://web/pod, --requests=50, --strict]}]
`, boxImage))
	kube(t, "-n", ns, "wait", "--for=condition=Complete", "job/once", "--timeout=60s")
	var pods struct{ Items []pod }
	get(t, &pods, "-n", ns, "get", "pods", "-l", "job-name=once")
	if len(pods.Items) != 1 || !pods.Items[0].injected() {
		t.Errorf("the job's pod was not injected: %+v", pods)
	}
}

// A proxy that is killed comes back alone, and the rules of a second run of the init container are those of the first.
func TestRestartsAndRerunsChangeNothing(t *testing.T) {
	ns := namespace(t, optIn)
	servers(t, ns, "web", 2)
	sleeper(t, ns, "client")
	rules := func() string {
		out := node(t, "in-pod", ns+"/client", "iptables-save", "-t", "nat")
		var kept []string
		for _, line := range strings.Split(out, "\n") {
			if !strings.HasPrefix(line, "#") {
				kept = append(kept, strings.SplitN(line, " [", 2)[0])
			}
		}
		return strings.Join(kept, "\n")
	}
	before := rules()
	if !strings.Contains(before, "SLUICE") {
		t.Fatalf("no rules of ours in the pod:\n%s", before)
	}
	var p pod
	get(t, &p, "-n", ns, "get", "pod", "client")
	var args []string
	for _, a := range p.Spec.InitContainers[0]["args"].([]any) {
		args = append(args, fmt.Sprint(a))
	}
	program := buildProgram(t, "initcontainer")
	// What the kubelet sets, and the program heeds: the API server's address is left alone.
	api := "KUBERNETES_SERVICE_HOST=" + kube(t, "-n", "default", "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	out := node(t, append([]string{"in-pod", ns + "/client", "env", api, program}, args...)...)
	if after := rules(); after != before {
		t.Errorf("a second run changed the rules from\n%s\nto\n%s\n%s", before, after, out)
	}
	node(t, "kill", ns+"/client", proxyName)
	soon(t, 30*time.Second, "the proxy is back", func() (string, bool) {
		out, err := execBox(ns, "client", "get", "http://web/pod")
		return fmt.Sprint(out, err), err == nil
	})
	runLoad(t, ns, "client", "--url=http://web/pod", "--requests=100").mustBeWhole(t, 100)
}

// The webhook's pods go one after the other and the certificate is renewed while pods are made: every one is injected.
func TestWebhookRestartAndCertificateRotation(t *testing.T) {
	ns := namespace(t, optIn)
	made := 0
	make := func(n int) {
		for range n {
			made++
			name := fmt.Sprintf("p%03d", made)
			if out, err := tryApply(ns, podYAML(name, "", "sleep")); err != nil {
				t.Fatalf("pod %s: %s %v", name, out, err)
			}
			var p pod
			get(t, &p, "-n", ns, "get", "pod", name)
			if !p.injected() {
				t.Fatalf("pod %s was not injected", name)
			}
		}
	}
	make(2)
	pods := strings.Fields(kube(t, "-n", system, "get", "pods", "-l", "app.kubernetes.io/component=webhook", "-o", "name"))
	if len(pods) < 2 {
		t.Errorf("the webhook has %d replicas, want 2: %v", len(pods), pods)
	}
	for _, p := range pods {
		kube(t, "-n", system, "delete", p, "--wait=false")
		make(5)
		kube(t, "-n", system, "rollout", "status", "deployment/sluice-webhook", "--timeout=100s")
	}
	serving := func() string {
		return kube(t, "-n", system, "get", "secret", "sluice-webhook-certs", "-o", `jsonpath={.data.tls\.crt}`)
	}
	old := serving()
	rotateCertificate(t)
	// A new authority is trusted everywhere before a certificate of it is served, so this takes half a minute.
	soon(t, 2*time.Minute, "the serving certificate is a new one", func() (string, bool) {
		make(1)
		return "the old one", serving() != old
	})
	make(10)
}

// Pod Security refuses NET_ADMIN in these namespaces; the refusal has to say what to do. The proxy itself is fit for them.
func TestPodSecurityNamespaces(t *testing.T) {
	ns := namespace(t, optIn)
	apply(t, ns, podYAML("donor", "", "sleep"))
	var donor pod
	get(t, &donor, "-n", ns, "get", "pod", "donor")
	for _, level := range []string{"baseline", "restricted"} {
		strict := namespace(t, optIn, "pod-security.kubernetes.io/enforce="+level)
		_, err := tryApply(strict, podYAML("refused", "", "sleep"))
		if err == nil {
			t.Errorf("%s: an injected pod was accepted", level)
		} else {
			for _, want := range []string{"NET_ADMIN", "pod-security.kubernetes.io/enforce", "sluice.mesh/inject"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the refusal does not name %q: %v", level, want, err)
				}
			}
		}
		var proxy, volume map[string]any
		for _, c := range donor.Spec.InitContainers {
			if c["name"] == proxyName {
				proxy = c
			}
		}
		for _, v := range donor.Spec.Volumes {
			if v["name"] == "sluice-token" {
				volume = v
			}
		}
		b, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": "proxy-alone", "labels": map[string]any{"sluice.mesh/inject": "disabled"}},
			"spec": map[string]any{"initContainers": []any{proxy}, "volumes": []any{volume},
				"containers": []any{map[string]any{"name": "app", "image": boxImage, "args": []string{"sleep"},
					"securityContext": map[string]any{"runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
						"capabilities": map[string]any{"drop": []string{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"}}}}}})
		if _, err := run(time.Minute, b, "-n", strict, "create", "--dry-run=server", "-f", "-"); err != nil {
			t.Errorf("%s: our proxy container by itself is refused: %v", level, err)
		}
	}
}

// Pods of the Kubernetes project's own tests: what the API server takes elsewhere it takes here, with our parts added and nothing
// else changed.
func TestPodsOfKubernetes(t *testing.T) {
	ns, plain := namespace(t, optIn), namespace(t)
	files, err := filepath.Glob("../../webhook/inject/testdata/vectors/kubernetes-*.json")
	if err != nil || len(files) != 53 {
		t.Fatalf("%d pods, %v", len(files), err)
	}
	for _, name := range strings.Fields(serviceAccounts(t, files)) {
		kube(t, "-n", ns, "create", "serviceaccount", name)
		kube(t, "-n", plain, "create", "serviceaccount", name)
	}
	injectedPods, hostNetwork := 0, 0
	var refused []string
	for _, f := range files {
		create := func(ns string) (map[string]any, error) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var vector struct{ Pod json.RawMessage }
			if err := json.Unmarshal(b, &vector); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			out, err := run(time.Minute, withVolumes(t, vector.Pod), "-n", ns, "create", "--dry-run=server", "-o", "json", "-f", "-")
			var o map[string]any
			if err == nil {
				err = json.Unmarshal([]byte(out), &o)
			}
			return o, err
		}
		want, errPlain := create(plain)
		got, err := create(ns)
		if errPlain != nil {
			refused = append(refused, filepath.Base(f)+": "+errPlain.Error())
			if err == nil {
				t.Errorf("%s: refused without us and accepted with us", f)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: refused with us only: %v", f, err)
			continue
		}
		spec := got["spec"].(map[string]any)
		var p pod
		b, _ := json.Marshal(got)
		json.Unmarshal(b, &p)
		if p.injected() {
			injectedPods++
			withoutOurs(spec)
		}
		if spec["hostNetwork"] == true {
			hostNetwork++
		}
		// The API server names this volume anew each time.
		blur := func(spec any) string {
			b, _ := json.Marshal(spec)
			return tokenVolume.ReplaceAllString(string(b), "kube-api-access")
		}
		if a, b := blur(spec), blur(want["spec"]); a != b {
			t.Errorf("%s: with our parts taken out:\n%s\nwant:\n%s", f, a, b)
		}
	}
	t.Logf("%d pods: %d injected, %d in the node's network, refused with and without us: %q", len(files), injectedPods, hostNetwork, refused)
	if injectedPods != len(files)-hostNetwork-len(refused) || len(refused) > 0 {
		t.Errorf("of %d pods %d were injected, %d are in the node's network and %d were refused: %q", len(files), injectedPods, hostNetwork, len(refused), refused)
	}
}

// withVolumes adds the volumes that a StatefulSet's claims, or a cluster of another time, would add: those that are mounted and not there.
func withVolumes(t *testing.T, pod []byte) []byte {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(pod, &o); err != nil {
		t.Fatal(err)
	}
	spec := o["spec"].(map[string]any)
	volumes, _ := spec["volumes"].([]any)
	there := map[any]bool{}
	for _, v := range volumes {
		there[v.(map[string]any)["name"]] = true
	}
	for _, kind := range []string{"initContainers", "containers"} {
		containers, _ := spec[kind].([]any)
		for _, c := range containers {
			mounts, _ := c.(map[string]any)["volumeMounts"].([]any)
			for _, m := range mounts {
				if name := m.(map[string]any)["name"]; !there[name] {
					there[name] = true
					volumes = append(volumes, map[string]any{"name": name, "emptyDir": map[string]any{}})
				}
			}
		}
	}
	if volumes != nil {
		spec["volumes"] = volumes
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serviceAccounts are those that the pods name.
func serviceAccounts(t *testing.T, files []string) string {
	t.Helper()
	named := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"serviceAccount(?:Name)?": "([^"]+)"`).FindAllStringSubmatch(string(b), -1) {
			named[m[1]] = m[1] != "default"
		}
	}
	var all []string
	for name, wanted := range named {
		if wanted {
			all = append(all, name)
		}
	}
	return strings.Join(all, " ")
}

var tokenVolume = regexp.MustCompile("kube-api-access-[a-z0-9]+")

// Read access follows the label: the service accounts of opted-in namespaces may read Services, others may not.
func TestReadAccessFollowsTheLabel(t *testing.T) {
	ns := namespace(t)
	can := func() bool {
		out, _ := run(20*time.Second, nil, "auth", "can-i", "list", "services", "-A", "--as=system:serviceaccount:"+ns+":default",
			"--as-group=system:serviceaccounts:"+ns, "--as-group=system:serviceaccounts", "--as-group=system:authenticated")
		return strings.HasPrefix(out, "yes")
	}
	if can() {
		t.Fatal("a namespace without the label may list Services")
	}
	kube(t, "label", "namespace", ns, optIn)
	soon(t, 20*time.Second, "access is granted", func() (string, bool) { return "no", can() })
	kube(t, "label", "namespace", ns, "sluice.mesh/inject-")
	soon(t, 20*time.Second, "access is taken back", func() (string, bool) { return "yes", !can() })
}
