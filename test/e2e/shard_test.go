//go:build e2e

package e2e

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every account has one owner, and all callers find it, whether by HTTP/1.1 or by gRPC: while nothing happens, over a rolling restart,
// when callers start again, and when the number of pods changes, where those accounts move that docs/shard-affinity.md says, and no
// other. That what sidecars read for it may be read is the webhook's doing.
func TestStatefulSetAccountsHaveOneOwner(t *testing.T) {
	ns := namespace(t, optIn)
	d := newDirectory(t, ns)
	h1, h2, g1, g2 := teller{ns, "http-1", false}, teller{ns, "http-2", false}, teller{ns, "grpc-1", true}, teller{ns, "grpc-2", true}
	apply(t, ns, ledgers())
	open(t, h1, h2, g1, g2)
	ready := func() { kube(t, "-n", ns, "rollout", "status", "statefulset/ledger", "--timeout=100s") }
	ready()

	five := ask(t, h1, h2, g1, g2)
	same(t, "by number", five["by-number"], byNumber(5))
	if pods := slices.Compact(slices.Sorted(maps.Values(five["by-hash"]))); len(pods) != 5 {
		t.Errorf("by hash: the owners are %v, want all 5 pods", pods)
	}
	d.agrees(t, five, h1, h2, g1, g2)
	if !mayWatch(ns, "ledger") || mayWatch(ns, "another") {
		t.Errorf("sidecars may read the StatefulSet %v, another one %v; want the one that the annotations name", mayWatch(ns, "ledger"), mayWatch(ns, "another"))
	}

	// From here on the one Service leaves it to the sidecars to find out which StatefulSet it is. Nothing moves.
	loads := keepAsking(t, h1, h2, g1, g2)
	kube(t, "-n", ns, "annotate", "service", "by-number", "--overwrite", "sluice.mesh/shard-map=ordinal")
	soon(t, 20*time.Second, "sidecars may read any StatefulSet", func() (string, bool) { return "", mayWatch(ns, "another") })
	// Nobody takes over from a pod that restarts, and nothing fails.
	began := time.Now()
	kube(t, "-n", ns, "rollout", "restart", "statefulset/ledger")
	ready()
	t.Logf("the rolling restart took %.1f s", time.Since(began).Seconds())
	for i, s := range stop(t, "rolling restart", loads) {
		same(t, loads[i].pod+" over a rolling restart", s.Owners.sole(t, loads[i].pod), five[loads[i].service])
	}

	// Callers that start know all that those know which run: while a pod is away too.
	loads = keepAsking(t, h2, g2)
	kube(t, "-n", ns, "delete", "pod", "ledger-2", "--wait=false")
	reopen(t, h1, g1)
	sameAll(t, "after a restart of callers", ask(t, h1, g1), five)
	for i, s := range stop(t, "callers restart", loads) {
		same(t, loads[i].pod+" while others restart", s.Owners.sole(t, loads[i].pod), five[loads[i].service])
	}
	reopen(t, h2, g2)
	ready()
	sameAll(t, "after a restart of all callers", ask(t, h1, h2, g1, g2), five)

	// One pod more, and one fewer. Requests for accounts of a pod that is not there yet wait for it.
	scale := func(replicas int) {
		t.Helper()
		kube(t, "-n", ns, "scale", "statefulset/ledger", "--replicas="+strconv.Itoa(replicas))
		ready()
		soon(t, 20*time.Second, "the pods are those wanted", func() (string, bool) {
			out := kube(t, "-n", ns, "get", "pods", "-l", "app=ledger", "-o", "name")
			return out, len(strings.Fields(out)) == replicas
		})
	}
	six := d.foretells(t, 6)
	same(t, "by number, as sluicectl foretells of 6 pods", six["by-number"], byNumber(6))
	moved := moves(five["by-hash"], six["by-hash"])
	for account, pod := range moved {
		if pod != "ledger-5" {
			t.Errorf("by hash: account %s moves from %s to %s, want moves to the new pod only", account, five["by-hash"][account], pod)
		}
	}
	// A sixth of the accounts, give or take five standard deviations.
	if off := math.Abs(float64(len(moved)) - accounts/6.0); off > 5*math.Sqrt(accounts*5/36.0) {
		t.Errorf("by hash: %d of %d accounts move, want about %d", len(moved), accounts, accounts/6)
	}
	t.Logf("5 to 6 pods: %d of %d accounts move by hash, %d by number", len(moved), accounts, len(moves(byNumber(5), byNumber(6))))

	loads = keepAsking(t, h1, h2, g1, g2)
	scale(6)
	d.agrees(t, six, h1, h2, g1, g2)
	sameAll(t, "6 pods", ask(t, h1, h2, g1, g2), six)
	scale(5)
	d.agrees(t, five, h1, h2, g1, g2)
	sameAll(t, "5 pods again", ask(t, h1, h2, g1, g2), five)
	for i, s := range stop(t, "scaling", loads) {
		service := loads[i].service
		for account, pods := range s.Owners {
			for pod := range pods {
				if a, b := five[service][account], six[service][account]; pod != a && pod != b {
					t.Errorf("scaling, %s from %s: account %s was answered by %s, want %s of 5 pods or %s of 6", service, loads[i].pod, account, pod, a, b)
				}
			}
		}
	}

	// What nobody asks for any more may not be read.
	kube(t, "-n", ns, "annotate", "service", "by-number", "by-hash", "sluice.mesh/shard-map-")
	soon(t, 20*time.Second, "the StatefulSet may not be read", func() (string, bool) { return "", !mayWatch(ns, "ledger") })
}

// moves answers the accounts with another owner after than before, and that owner.
func moves(before, after map[string]string) map[string]string {
	moved := map[string]string{}
	for account, pod := range after {
		if pod != before[account] {
			moved[account] = pod
		}
	}
	return moved
}

// sameAll is [same] for all Services.
func sameAll(t *testing.T, what string, got, want map[string]map[string]string) {
	t.Helper()
	for service := range want {
		same(t, what+", "+service, got[service], want[service])
	}
}

// mayWatch says whether sidecars of a namespace may read its StatefulSet of that name.
func mayWatch(ns, statefulSet string) bool {
	_, err := run(10*time.Second, nil, "-n", ns, "auth", "can-i", "watch", "statefulsets.apps/"+statefulSet, "--as=system:serviceaccount:"+ns+":default",
		"--as-group=system:serviceaccounts", "--as-group=system:serviceaccounts:"+ns)
	return err == nil
}
