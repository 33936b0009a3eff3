package shard

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

func TestOrdinals(t *testing.T) {
	for _, c := range []struct {
		what, spec, key string
		replicas, start int
		want            string
	}{
		{"an integer modulo the replicas", "ordinal", "17", 5, 0, "web-2"},
		{"counted from the first ordinal", "ordinal", "17", 5, 100, "web-102"},
		{"never a negative remainder", "ordinal", "-1", 5, 0, "web-4"},
		{"minus zero is zero", "ordinal", "-0", 5, 0, "web-0"},
		{"leading zeros change nothing", "ordinal", "00017", 5, 0, "web-2"},
		{"an integer beyond 64 bits", "ordinal", "340282366920938463463374607431768211457", 5, 0, "web-2"},
		{"what is no integer by its hash", "ordinal", "alice", 5, 0, fmt.Sprintf("web-%d", keyOf("alice").Hash%5)},
		{"nor is a number with a plus sign", "ordinal", "+17", 5, 0, fmt.Sprintf("web-%d", keyOf("+17").Hash%5)},
		{"nor a fraction", "ordinal", "1.5", 5, 0, fmt.Sprintf("web-%d", keyOf("1.5").Hash%5)},
		{"nor a minus sign alone", "ordinal", "-", 5, 0, fmt.Sprintf("web-%d", keyOf("-").Hash%5)},
		{"an integer by its hash where that is asked for", "ordinal,by=hash", "17", 5, 0, fmt.Sprintf("web-%d", keyOf("17").Hash%5)},
		{"one replica owns everything", "ordinal", "17", 1, 0, "web-0"},
	} {
		m := New(mustSpec(t, c.spec), Input{Set: &cluster.EndpointSet{},
			StatefulSet: &StatefulSet{Name: "web", Replicas: c.replicas, Start: c.start}})
		if o := m.Owner(keyOf(c.key)); o.Member == nil || o.Member.Name != c.want || o.Why != Down {
			t.Errorf("%s: %s is %+v, want %s, down", c.what, c.key, o.Member, c.want)
		}
	}
}

func TestOrdinalsAreStableUnderAnyReadiness(t *testing.T) {
	r := seedOf(t)
	spec := mustSpec(t, "ordinal")
	all := replicas(7)
	web := &StatefulSet{Name: "web", Replicas: 5}
	m := New(spec, Input{Set: setOf(), StatefulSet: web})
	for range 50 {
		ready := shuffled(r, all)[:r.IntN(len(all)+1)]
		ready = append(ready, pod("web-7d4b9c-abcde", 500), pod("other-3", 501)) // pods of others are nobody
		m = m.Next(Input{Set: setOf(ready...), StatefulSet: web})
		up := map[string]*cluster.Endpoint{}
		for _, e := range ready {
			up[e.Name] = e
		}
		for n := range 20 {
			name := fmt.Sprintf("web-%d", n%5)
			o := m.Owner(keyOf(fmt.Sprint(n)))
			if o.Member.Name != name || o.Member.Ordinal != n%5 || o.Endpoint != up[name] || (o.Why == Down) != (up[name] == nil) {
				t.Fatalf("key %d: %+v, want %s at %v", n, o, name, up[name])
			}
		}
	}
}

// What the documentation says of scaling: from N to M moves each key whose remainder changes, which leaves min(N, M) of each
// lcm(N, M) where they are.
func TestScalingMovesTheKeysWhoseRemainderChanges(t *testing.T) {
	spec := mustSpec(t, "ordinal")
	for _, c := range [][2]int{{5, 6}, {6, 5}, {4, 8}, {1, 2}} {
		from := New(spec, Input{Set: setOf(replicas(8)...), StatefulSet: &StatefulSet{Name: "web", Replicas: c[0]}})
		to := from.Next(Input{Set: setOf(replicas(8)...), StatefulSet: &StatefulSet{Name: "web", Replicas: c[1]}})
		gcd := int(new(big.Int).GCD(nil, nil, big.NewInt(int64(c[0])), big.NewInt(int64(c[1]))).Int64())
		lcm, stayed := c[0]*c[1]/gcd, 0
		for k := range lcm {
			was, is := from.Owner(keyOf(fmt.Sprint(k))).Member.Name, to.Owner(keyOf(fmt.Sprint(k))).Member.Name
			if was == is {
				stayed++
			}
			if moves := k%c[0] != k%c[1]; moves != (was != is) {
				t.Fatalf("from %d to %d: key %d is %s's, then %s's", c[0], c[1], k, was, is)
			}
		}
		if want := min(c[0], c[1]); stayed != want {
			t.Errorf("from %d to %d: %d of %d keys stayed, want %d", c[0], c[1], stayed, lcm, want)
		}
	}
}

func TestRemaindersAreThoseOfBigIntegers(t *testing.T) {
	r := seedOf(t)
	for range 2000 {
		text := make([]byte, 1+r.IntN(40))
		for i := range text {
			text[i] = byte('0' + r.IntN(10))
		}
		if r.IntN(2) == 0 {
			text = append([]byte("-"), text...)
		}
		n := 1 + r.Uint64N(1<<31)
		v, _ := new(big.Int).SetString(string(text), 10)
		want := new(big.Int).Mod(v, new(big.Int).SetUint64(n)).Uint64() // Mod is Euclid's
		if got, ok := remainder(text, n); !ok || got != want {
			t.Fatalf("%s modulo %d: %d, %v; want %d", text, n, got, ok, want)
		}
	}
}
