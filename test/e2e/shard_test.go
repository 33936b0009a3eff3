//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// accounts is how many keys the tests use: the numbers below it.
const accounts = 200

// ledgers is a StatefulSet and two Services that send each account to its owner, by number and by hash. While the owner is away
// requests wait for it.
func ledgers(round string) string {
	const service = `
---
apiVersion: v1
kind: Service
metadata:
  name: %s
  annotations: {sluice.mesh/shard-key: "header:account-id", sluice.mesh/shard-map: "%s", sluice.mesh/shard-fallback: wait=30s}
spec: {selector: {app: ledger}, ports: [{name: any, port: 80, targetPort: http}]}
`
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ledger}
spec:
  replicas: 3
  serviceName: ledger
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger, sluice.mesh/inject: disabled}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: box
        image: %s
        args: [serve]
        env:
        - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: ROUND, value: "%s"}
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ledger}
spec: {clusterIP: None, selector: {app: ledger}, ports: [{name: http, port: 8080}]}
`, boxImage, round) + fmt.Sprintf(service, "by-number", "ordinal") + fmt.Sprintf(service, "by-hash", "rendezvous,statefulset=ledger")
}

// ledgerReaders lets the callers of a namespace read how many replicas the StatefulSet is to have. It is not among the rights of all
// sidecars: a StatefulSet's pod template may hold what is nobody else's business.
func ledgerReaders(ns string) string {
	return fmt.Sprintf(`
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ledger-replicas}
rules: [{apiGroups: [apps], resources: [statefulsets], resourceNames: [ledger], verbs: [get, list, watch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: ledger-replicas}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ledger-replicas}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:serviceaccounts:%s"}]
`, ns)
}

// owned is which pods answered each account.
type owned map[string]map[string]int

// sole answers the one pod of each account, and fails the test when there are several.
func (o owned) sole(t *testing.T, what string) map[string]string {
	t.Helper()
	owner := map[string]string{}
	for account, pods := range o {
		if len(pods) != 1 {
			t.Errorf("%s: account %s was answered by %v, want one pod", what, account, pods)
		}
		for pod := range pods {
			owner[account] = pod
		}
	}
	if len(owner) != accounts {
		t.Errorf("%s: %d accounts were answered, want %d", what, len(owner), accounts)
	}
	return owner
}

// same fails the test unless two maps of owners are equal.
func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	var off []string
	for account, pod := range want {
		if got[account] != pod {
			off = append(off, fmt.Sprintf("%s: %s, want %s", account, got[account], pod))
		}
	}
	if slices.Sort(off); len(off) > 0 {
		t.Errorf("%s: %d of %d accounts have another owner: %s", what, len(off), len(want), strings.Join(off[:min(len(off), 10)], "; "))
	}
}

// byNumber is the map that the documentation gives to integers.
func byNumber(replicas int) map[string]string {
	owner := map[string]string{}
	for i := range accounts {
		owner[strconv.Itoa(i)] = fmt.Sprint("ledger-", i%replicas)
	}
	return owner
}

// Every account has one owner, and all callers find it: in both protocols, over a rolling restart, and when the number of pods
// changes, where those accounts move that docs/shard-affinity.md says, and no other.
func TestStatefulSetAccountsHaveOneOwner(t *testing.T) {
	ns := namespace(t, optIn)
	apply(t, ns, ledgers("1")+ledgerReaders(ns))
	for _, client := range []string{"client-1", "client-2"} {
		apply(t, ns, podYAML(client, "", "sleep"))
		kube(t, "-n", ns, "wait", "--for=condition=Ready", "pod/"+client, "--timeout=60s")
	}
	ready := func() { kube(t, "-n", ns, "rollout", "status", "statefulset/ledger", "--timeout=100s") }
	ready()
	// now asks for every account, on HTTP/1.1 by one client and HTTP/2 by the other, and answers the owners.
	now := func(service string) map[string]string {
		t.Helper()
		var owner map[string]string
		for client, flags := range map[string][]string{"client-1": nil, "client-2": {"--h2c", "--one-connection"}} {
			s := runLoad(t, ns, client, append(flags, "--url=http://"+service+"/pod", fmt.Sprint("--keys=", accounts), fmt.Sprint("--requests=", 3*accounts),
				"--concurrency=4", "--timeout=40s")...)
			s.mustBeWhole(t, 3*accounts)
			o := s.Owners.sole(t, service+" from "+client)
			if owner != nil {
				same(t, service+", the clients", o, owner)
			}
			owner = o
		}
		return owner
	}

	same(t, "by number", now("by-number"), byNumber(3))
	byHash := now("by-hash")
	if pods := slices.Compact(slices.Sorted(maps.Values(byHash))); len(pods) != 3 {
		t.Errorf("by hash: the owners are %v, want all 3 pods", pods)
	}

	// A rolling restart under load: nobody takes over, nothing fails.
	var loads []load
	for _, service := range []string{"by-number", "by-hash"} {
		for i, flags := range [][]string{nil, {"--h2c", "--one-connection"}} {
			loads = append(loads, startLoad(t, ns, fmt.Sprint(service, "-", i), append(flags, "--url=http://"+service+"/pod", fmt.Sprint("--keys=", accounts),
				"--rate=100", "--concurrency=20", "--duration=30s", "--timeout=40s")...))
		}
	}
	apply(t, ns, ledgers("2"))
	ready()
	for i, l := range loads {
		s := l.end(t, time.Minute)
		s.mustBeWhole(t, 1000) // requests wait, so not all that were due are made
		same(t, l.pod+" over a rolling restart", s.Owners.sole(t, l.pod), [2]map[string]string{byNumber(3), byHash}[i/2])
	}

	// One pod more, and one fewer. What a sidecar knows follows the API server a moment later.
	scale := func(replicas int) {
		kube(t, "-n", ns, "scale", "statefulset/ledger", fmt.Sprint("--replicas=", replicas))
		ready()
		soon(t, 20*time.Second, "the pods are those wanted", func() (string, bool) {
			out := kube(t, "-n", ns, "get", "pods", "-l", "app=ledger", "-o", "name")
			return out, len(strings.Fields(out)) == replicas
		})
		time.Sleep(time.Second)
	}
	scale(4)
	same(t, "by number, 4 pods", now("by-number"), byNumber(4))
	four := now("by-hash")
	moved := 0
	for account, pod := range four {
		if pod == byHash[account] {
			continue
		}
		if moved++; pod != "ledger-3" {
			t.Errorf("by hash, 4 pods: account %s moved from %s to %s, want moves to the new pod only", account, byHash[account], pod)
		}
	}
	// A quarter of the accounts, give or take five standard deviations.
	if off := math.Abs(float64(moved) - accounts/4); off > 5*math.Sqrt(accounts*3/16.0) {
		t.Errorf("by hash, 4 pods: %d of %d accounts moved, want about %d", moved, accounts, accounts/4)
	}
	t.Logf("by hash, 3 to 4 pods: %d of %d accounts moved", moved, accounts)
	scale(3)
	same(t, "by number, 3 pods again", now("by-number"), byNumber(3))
	same(t, "by hash, 3 pods again", now("by-hash"), byHash)
}
