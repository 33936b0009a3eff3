//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// teller is a client pod that asks for accounts, by HTTP/1.1 or by gRPC.
type teller struct {
	ns, pod string
	grpc    bool
}

// manifest is the pod, which waits to be told by exec.
func (c teller) manifest() string {
	image := boxImage
	if c.grpc {
		image = grpcImage
	}
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: teller}}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: "%s", command: [sleep, "3600"]}]}
`, c.pod, image)
}

// open makes pods of tellers and waits until they are ready.
func open(t *testing.T, tellers ...teller) {
	t.Helper()
	var yaml string
	args := []string{"-n", tellers[0].ns, "wait", "--for=condition=Ready", "--timeout=60s"}
	for _, c := range tellers {
		yaml += c.manifest()
		args = append(args, "pod/"+c.pod)
	}
	apply(t, tellers[0].ns, yaml)
	kube(t, args...)
}

// reopen makes the pods anew.
func reopen(t *testing.T, tellers ...teller) {
	t.Helper()
	args := []string{"-n", tellers[0].ns, "delete", "pod"}
	for _, c := range tellers {
		args = append(args, c.pod)
	}
	kube(t, args...)
	open(t, tellers...)
}

// port is the port of the Services that the teller calls.
func (c teller) port() string {
	if c.grpc {
		return "81"
	}
	return "80"
}

// load answers a command that asks a Service for the accounts in turn.
func (c teller) load(service string, more ...string) []string {
	target := "--url=http://" + service + "/pod"
	if c.grpc {
		target = "--target=" + service + ":" + c.port()
	}
	return append([]string{"box", "load", target, fmt.Sprint("--keys=", accounts), "--timeout=40s"}, more...)
}

// told is what both applications' loads print in the end.
type told struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors"`
	Owners   owned          `json:"owners"` // pods by account
}

func parseTold(out string) (s told, err error) {
	out = strings.TrimSpace(out)
	if err := json.Unmarshal([]byte(out[strings.LastIndexByte(out, '\n')+1:]), &s); err != nil {
		return s, fmt.Errorf("%w in:\n%s", err, out)
	}
	return s, nil
}

// mustBeWhole fails the test unless every request was answered, and every account was asked for.
func (s told) mustBeWhole(t *testing.T, what string, atLeast int) {
	t.Helper()
	if s.Failed != 0 || s.Requests < atLeast || len(s.Owners) != accounts {
		t.Errorf("%s: of %d requests (at least %d wanted) for %d accounts (want %d) %d failed: %v", what, s.Requests, atLeast, len(s.Owners), accounts,
			s.Failed, s.Errors)
	}
}

// ask has every teller ask both Services for every account, all at a time, and answers the owners by Service. It fails the test where
// an account is answered by two pods, or tellers disagree.
func ask(t *testing.T, tellers ...teller) map[string]map[string]string {
	t.Helper()
	type answer struct {
		told
		err error
	}
	const rounds = 3
	answers := make([]answer, len(tellers)*len(ledgerServices))
	var all sync.WaitGroup
	for i := range answers {
		c, service := tellers[i/len(ledgerServices)], ledgerServices[i%len(ledgerServices)]
		all.Go(func() {
			a := &answers[i]
			var out string
			args := append([]string{"-n", c.ns, "exec", c.pod, "-c", "app", "--"}, c.load(service, fmt.Sprint("--requests=", rounds*accounts), "--concurrency=4")...)
			if out, a.err = run(time.Minute, nil, args...); a.err == nil {
				a.told, a.err = parseTold(out)
			}
		})
	}
	all.Wait()
	owners := map[string]map[string]string{}
	for i, a := range answers {
		c, service := tellers[i/len(ledgerServices)], ledgerServices[i%len(ledgerServices)]
		if a.err != nil {
			t.Fatal(a.err)
		}
		a.mustBeWhole(t, service+" from "+c.pod, rounds*accounts)
		owner := a.Owners.sole(t, service+" from "+c.pod)
		if owners[service] != nil {
			same(t, service+", "+c.pod+" and "+tellers[0].pod, owner, owners[service])
		} else {
			owners[service] = owner
		}
	}
	return owners
}
