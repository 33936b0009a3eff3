//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// accounts is how many keys the tests use: the numbers below it.
const accounts = 200

// ledgers is a StatefulSet whose pods answer in HTTP and in gRPC, and two Services that send each account to its owner, by number and
// by hash; the port is 80 for HTTP, 81 for gRPC. While the owner is away requests wait for it.
func ledgers() string {
	const service = `
---
apiVersion: v1
kind: Service
metadata:
  name: %s
  annotations: {sluice.mesh/shard-key: "header:account-id", sluice.mesh/shard-map: "%s", sluice.mesh/shard-fallback: wait=30s, sluice.mesh/max-pending: "1000"}
spec: {selector: {app: ledger}, ports: [{name: any, port: 80, targetPort: http}, {name: calls, port: 81, targetPort: grpc}]}
`
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: ledger}
spec:
  replicas: 5
  serviceName: ledger
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: ledger}}
  template:
    metadata: {labels: {app: ledger, sluice.mesh/inject: disabled}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: box
        image: %s
        args: [serve]
        env: &env [{name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 1, failureThreshold: 1}
      - name: calls
        image: %s
        args: [serve, --drain=5s]
        env: *env
        ports: [{name: grpc, containerPort: 9090}]
        readinessProbe: {grpc: {port: 9090, service: grpc.testing.TestService}, periodSeconds: 1, failureThreshold: 1}
---
apiVersion: v1
kind: Service
metadata: {name: ledger}
spec: {clusterIP: None, selector: {app: ledger}, ports: [{name: http, port: 8080}]}
`, boxImage, grpcImage) + fmt.Sprintf(service, "by-number", "ordinal,statefulset=ledger") +
		fmt.Sprintf(service, "by-hash", "rendezvous,statefulset=ledger")
}

// ledgerServices are the Services of [ledgers].
var ledgerServices = []string{"by-number", "by-hash"}

// owned is which pods answered each account.
type owned map[string]map[string]int

// sole answers the one pod of each account, and fails the test when there are several.
func (o owned) sole(t *testing.T, what string) map[string]string {
	t.Helper()
	owner := map[string]string{}
	var several []string
	for account, pods := range o {
		if len(pods) != 1 {
			several = append(several, fmt.Sprint(account, ": ", pods))
		}
		for pod := range pods {
			owner[account] = pod
		}
	}
	if slices.Sort(several); len(several) > 0 {
		t.Errorf("%s: %d of %d accounts were answered by several pods: %s", what, len(several), len(o), strings.Join(several[:min(len(several), 10)], "; "))
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
