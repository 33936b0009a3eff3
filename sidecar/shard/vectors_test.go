package shard

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Fixed keys have fixed owners, and fixed orders behind them, so that no release moves a key unnoticed. A difference here is
// an outage for somebody who upgrades sidecars one by one: the map's name has to change, not its answers.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.txt"
	var got bytes.Buffer
	fmt.Fprintln(&got, "# map | pods | key | hash | owner and the next two, by name")
	web := &StatefulSet{Name: "web", Replicas: 12, Start: 3}
	for _, spec := range []string{"rendezvous", "rendezvous,slots=1024", "maglev", "maglev,size=251", "ring", "ring,size=100", "s2",
		"s2,level=20", "ordinal", "ordinal,by=hash", "rendezvous,statefulset=web"} {
		for _, n := range []int{3, 10, 100} {
			in := Input{Set: setOf(pods(n)...), StatefulSet: web}
			if spec != "ordinal" && spec != "ordinal,by=hash" && spec != "rendezvous,statefulset=web" {
				in.StatefulSet = nil
			} else if n != 10 {
				continue
			}
			m := New(mustSpec(t, spec), in)
			keys := []string{"", "42", "account-1", "Zoë", "123e4567-e89b-12d3-a456-426614174000", "a,b", "-7"}
			if m.spec.Kind == S2 {
				keys = []string{"48.2082,16.3738", "0,0", "-33.8688,151.2093", "90,0", "-90,180"}
			}
			for _, key := range keys {
				k := keyOf(key)
				fmt.Fprintf(&got, "%s | %d | %s | %016x |", spec, n, key, k.Hash)
				for _, o := range m.Successors(nil, k, 3) {
					fmt.Fprintf(&got, " %s", o.Member.Name)
				}
				fmt.Fprintln(&got)
			}
		}
	}
	tables := map[Kind]map[string]string{
		Lookup:       {"acme": "web-0", "table": "big corp web-9\naccount-1 2\n* 1\n"},
		PrefixLookup: {"a": "web-0", "table": "account- web-1\naccount-1 2\n"},
		S2:           {"476d07": "web-0", "476d079": "1", "*": "web-2"},
	}
	for _, spec := range []string{"lookup", "prefix-lookup", "s2", "rendezvous", "maglev", "ring"} {
		in := Input{Set: setOf(replicas(3)...)}
		keys := []string{"acme", "big corp", "account-1", "account-2", "account", "42"}
		s := mustSpec(t, spec)
		if data := tables[s.Kind]; data != nil {
			in.Table = mustTable(t, s.Kind, data)
		}
		if s.Kind == S2 {
			keys = []string{"48.2082,16.3738", "48.21,16.40", "48.6,17", "0,0"}
		}
		m := New(s, in)
		for _, key := range keys {
			k := keyOf(key)
			fmt.Fprintf(&got, "%s | replicas 3 | %s | %016x |", spec, key, k.Hash)
			for _, o := range m.Successors(nil, k, 3) {
				fmt.Fprintf(&got, " %s", o.Member.Name)
			}
			fmt.Fprintln(&got)
		}
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	g, w := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Errorf("line %d: a key moved:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	if len(g) != len(w) {
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
}
