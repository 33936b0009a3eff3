//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// directory says who owns the accounts: sluicectl shard, and sidecars when asked on their admin port.
type directory struct{ ns, sluicectl string }

func newDirectory(t *testing.T, ns string) directory {
	t.Helper()
	return directory{ns, buildProgram(t, "sluicectl")}
}

// said is what sluicectl and sidecars say of an account.
type said struct {
	Key, Why, Fingerprint string
	Owner                 struct{ Name string }
}

func parseSaid(out string) (all []said, err error) {
	d := json.NewDecoder(strings.NewReader(out))
	for {
		var s said
		if err := d.Decode(&s); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, out)
		}
		all = append(all, s)
	}
}

// ask asks sluicectl for all accounts of a Service.
func (d directory) ask(t *testing.T, service string, flags ...string) []said {
	t.Helper()
	var keys bytes.Buffer
	for i := range accounts {
		fmt.Fprintln(&keys, i)
	}
	// It ends with 1 when an owner is not there yet.
	out, failed := command(time.Minute, keys.Bytes(), []string{d.sluicectl}, append(append([]string{"shard", "--output=json", "--successors=0"}, flags...),
		d.ns+"/"+service, "-")...)
	var all []said
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) != accounts {
		t.Fatalf("sluicectl says of %d accounts, want %d: %v, %v", len(all), accounts, err, failed)
	}
	return all
}

func ownersOf(all []said) map[string]string {
	owners := map[string]string{}
	for _, s := range all {
		owners[s.Key] = s.Owner.Name
	}
	return owners
}

// foretells answers who would own each account if there were another number of pods, by Service.
func (d directory) foretells(t *testing.T, replicas int) map[string]map[string]string {
	t.Helper()
	var objects struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		Items      []map[string]any `json:"items"`
	}
	get(t, &objects, "-n", d.ns, "get", "services,endpointslices,statefulsets")
	for _, o := range objects.Items {
		if o["kind"] == "StatefulSet" {
			o["spec"].(map[string]any)["replicas"] = replicas
		}
	}
	b, err := json.Marshal(objects)
	dir := t.TempDir()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ledger.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]map[string]string{}
	for _, service := range ledgerServices {
		owners[service] = ownersOf(d.ask(t, service, "--manifests="+dir))
	}
	return owners
}

// agrees fails the test unless sluicectl, and the sidecars of tellers, say that the accounts have these owners. Sidecars follow the API
// server a moment later.
func (d directory) agrees(t *testing.T, want map[string]map[string]string, tellers ...teller) {
	t.Helper()
	for _, service := range ledgerServices {
		by := d.ask(t, service)
		same(t, "sluicectl, "+service, ownersOf(by), want[service])
		for _, c := range tellers {
			var all []said
			soon(t, 20*time.Second, c.pod+" has the map of "+service, func() (string, bool) {
				var err error
				if all, err = c.asked(service); err != nil {
					return err.Error(), false
				}
				return fmt.Sprint(all[0]), all[0].Fingerprint == by[0].Fingerprint
			})
			for _, s := range all {
				if owner := want[service][s.Key]; s.Owner.Name != owner || s.Why != "owned" {
					t.Errorf("%s says of %s: account %s: %s, %s; want %s, owned", c.pod, service, s.Key, s.Owner.Name, s.Why, owner)
				}
			}
		}
	}
}

// asked asks the teller's sidecar for some accounts.
func (c teller) asked(service string) ([]said, error) {
	const script = `for key in $(seq 0 7 $2); do wget -qO- "http://127.0.0.1:15303/shard?service=$1&successors=0&key=$key" || exit; done`
	out, err := run(30*time.Second, nil, "-n", c.ns, "exec", c.pod, "-c", "app", "--", "sh", "-c", script, "sh", c.ns+"/"+service+":"+c.port(),
		strconv.Itoa(accounts-1))
	if err != nil {
		return nil, err
	}
	all, err := parseSaid(out)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("no answer")
	}
	return all, err
}
