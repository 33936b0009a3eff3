package certs

import (
	"crypto/x509"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

var policy = Policy{Names: []string{"sluice-webhook.sluice-system.svc", "sluice-webhook.sluice-system.svc.cluster.local"},
	CALifetime: 365 * day, LeafLifetime: 30 * day, Settle: 30 * time.Second}

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// ca makes a CA at a time relative to epoch.
func ca(t *testing.T, at time.Duration) *Pair {
	t.Helper()
	p, err := newCA(policy.Names, epoch.Add(at), policy.CALifetime)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func leaf(t *testing.T, of *Pair, at time.Duration) *Pair {
	t.Helper()
	p, err := newLeaf(of, policy.Names, epoch.Add(at), policy.LeafLifetime)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecide(t *testing.T) {
	a, b, other := ca(t, 0), ca(t, 240*day), ca(t, 0)
	otherNames := policy
	otherNames.Names = []string{"other.sluice-system.svc"}
	type published map[*Pair]time.Duration
	for _, c := range []struct {
		name      string
		state     State
		published published
		policy    Policy
		at        time.Duration
		want      []Step
		again     time.Duration // 0 is not looked at
	}{
		{name: "nothing is there: a CA is made", want: []Step{MakeNext}},
		{name: "the first CA is not in the caBundles yet: it is not used", state: State{Next: a}},
		{name: "the first CA is in the caBundles: nobody has another, so it is used at once", state: State{Next: a},
			published: published{a: 0}, want: []Step{Promote, MakeLeaf}},
		{name: "the state was lost, but caBundles have CAs: the new one waits", at: 10 * day, again: 20 * time.Second,
			state:     State{Next: a, Former: []Trusted{{other.Cert, epoch.Add(40 * day)}}},
			published: published{a: 10 * time.Second, other: 0}},
		{name: "all is well: until the leaf's 2/3 are over", state: State{Current: a, Leaf: leaf(t, a, 0)},
			published: published{a: 0}, at: day, again: 19 * day},
		{name: "the leaf's 2/3 are over", state: State{Current: a, Leaf: leaf(t, a, 0)}, published: published{a: 0},
			at: 20 * day, want: []Step{MakeLeaf}},
		{name: "the leaf's 2/3 are over, but somebody emptied the caBundles: they come first",
			state: State{Current: a, Leaf: leaf(t, a, 0)}, at: 20 * day},
		{name: "the leaf is of another CA", state: State{Current: a, Leaf: leaf(t, other, 0)}, published: published{a: 0},
			want: []Step{MakeLeaf}},
		{name: "the leaf has other names", state: State{Current: a, Leaf: leaf(t, a, 0)}, published: published{a: 0},
			policy: otherNames, want: []Step{MakeLeaf}},
		{name: "the CA's 2/3 are over: the next is made, and nothing else before it is published", at: 244 * day,
			state: State{Current: a, Leaf: leaf(t, a, 220*day)}, published: published{a: 0}, want: []Step{MakeNext}},
		{name: "the next CA is not in every caBundle: it waits", at: 244 * day,
			state: State{Current: a, Next: b, Leaf: leaf(t, a, 230*day)}, published: published{a: 0}},
		{name: "the next CA waits, and the leaf is renewed by the current one meanwhile", at: 244 * day,
			state: State{Current: a, Next: b, Leaf: leaf(t, a, 220*day)}, published: published{a: 0}, want: []Step{MakeLeaf}},
		{name: "the next CA is settled: it signs", at: 244 * day, state: State{Current: a, Next: b, Leaf: leaf(t, a, 230*day)},
			published: published{a: 0, b: 30 * time.Second}, want: []Step{Promote, MakeLeaf}},
		{name: "the former CA is trusted until its last leaf has expired", at: 260*day - 1, again: 1,
			state:     State{Current: b, Leaf: leaf(t, b, 244*day), Former: []Trusted{{a.Cert, epoch.Add(260 * day)}}},
			published: published{a: 0, b: 0}},
		{name: "the former CA's last leaf has expired", at: 260 * day,
			state:     State{Current: b, Leaf: leaf(t, b, 244*day), Former: []Trusted{{a.Cert, epoch.Add(260 * day)}}},
			published: published{a: 0, b: 0}, want: []Step{DropFormer}},
		{name: "a rotation is asked for", state: State{Current: a, Leaf: leaf(t, a, 0), Rotate: true},
			published: published{a: 0}, want: []Step{MakeNext}},
		{name: "a rotation is asked for while one runs: it is that one", at: 240 * day,
			state:     State{Current: a, Next: b, Leaf: leaf(t, a, 230*day), Rotate: true},
			published: published{a: 0, b: time.Second}, want: []Step{ForgetRequest}},
		{name: "a next CA that nobody ever promoted is too old", at: 500 * day, state: State{Current: a, Next: b},
			want: []Step{MakeNext}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.policy.Names == nil {
				c.policy = policy
			}
			steps, again := Decide(c.state, func(cert *x509.Certificate) time.Duration {
				for p, since := range c.published {
					if p.Cert.Equal(cert) {
						return since
					}
				}
				return -1
			}, c.policy, epoch.Add(c.at))
			if !slices.Equal(steps, c.want) || c.again != 0 && again != c.again {
				t.Errorf("got %v, again in %v; want %v, %v", steps, again, c.want, c.again)
			}
		})
	}
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	a, b := ca(t, 0), ca(t, day)
	s := State{Current: a, Next: b, Leaf: leaf(t, a, 0),
		Former: []Trusted{{ca(t, -day).Cert, epoch}, {ca(t, -2*day).Cert, epoch.Add(time.Hour)}}}
	data, err := s.data()
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(data, map[string]string{RotateAnnotation: ""})
	if err != nil || !got.Rotate || !got.Current.Cert.Equal(a.Cert) || !got.Next.Cert.Equal(b.Cert) ||
		!got.Leaf.Cert.Equal(s.Leaf.Cert) || len(got.Former) != 2 || !got.Former[1].Until.Equal(s.Former[1].Until) ||
		len(parseBundle(got.Bundle())) != 4 {
		t.Errorf("got %+v, %v", got, err)
	}
	// What is broken counts as absent, and the rest is kept.
	data[caKey] = data[leafKey]
	data[formerCerts] = append(data[formerCerts], encodeCert(b.Cert)...) // no Trusted-Until
	got, err = parse(data, nil)
	if err == nil || got.Current != nil || got.Next == nil || got.Leaf == nil || len(got.Former) != 2 {
		t.Errorf("broken: got %+v, %v", got, err)
	}
}

// FuzzParse: a Secret can be edited by hand.
func FuzzParse(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"), []byte("x"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		s, err := parse(map[string][]byte{caCert: cert, caKey: key, formerCerts: cert}, nil)
		if err == nil && len(cert) > 0 && len(key) > 0 && s.Current == nil {
			t.Error("neither a CA nor an error")
		}
	})
}
