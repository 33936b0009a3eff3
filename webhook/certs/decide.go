package certs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Policy is how long things last.
type Policy struct {
	Names        []string      // of the leaf; the first is the subject
	CALifetime   time.Duration // renewed when 2/3 are over
	LeafLifetime time.Duration // renewed when 2/3 are over
	// Settle is how long a CA has to be in every caBundle before a leaf of it is served.
	Settle time.Duration
}

// Step is one thing to do.
type Step uint8

const (
	// MakeNext makes the next CA.
	MakeNext Step = iota + 1
	// ForgetRequest drops a request for a rotation that runs already.
	ForgetRequest
	// Promote makes the next CA the signing one.
	Promote
	// MakeLeaf makes a leaf of the signing CA.
	MakeLeaf
	// DropFormer drops former CAs whose time is over.
	DropFormer
)

// String answers the word used in logs.
func (s Step) String() string {
	return [...]string{"none", "make-next-ca", "forget-request", "promote-next-ca", "make-leaf", "drop-former-ca"}[s]
}

// Decide answers what to do now, in order, and when to ask again if nothing else happens before. published says for how
// long a CA has been in every caBundle, negative for one that is not in all.
func Decide(s State, published func(*x509.Certificate) time.Duration, p Policy, now time.Time) ([]Step, time.Duration) {
	var steps []Step
	again := time.Duration(1<<63 - 1)
	at := func(t time.Time) bool { // reports whether t is over, and remembers to come back else
		if !now.Before(t) {
			return true
		}
		again = min(again, t.Sub(now))
		return false
	}

	signing, leaf := s.Current, s.Leaf
	switch {
	case s.Next == nil && (signing == nil || s.Rotate || at(renewal(signing.Cert))):
		return []Step{MakeNext}, 0 // which has to be published before anything else can happen
	case s.Next != nil && at(renewal(s.Next.Cert)): // nobody was there to promote it
		return []Step{MakeNext}, 0
	case s.Next != nil:
		if s.Rotate {
			steps = append(steps, ForgetRequest)
		}
		since := published(s.Next.Cert)
		// With no CA that anybody trusts there is nothing to keep working, and so nothing to wait for.
		alone := signing == nil && len(s.Former) == 0
		if since >= 0 && (alone || since >= p.Settle) {
			steps = append(steps, Promote)
			signing = s.Next
		} else if since >= 0 {
			again = min(again, p.Settle-since)
		} // else a change of a caBundle will wake us
	}
	if signing != nil && published(signing.Cert) >= 0 && (unfit(leaf, signing, p) != "" || at(renewal(leaf.Cert))) {
		steps = append(steps, MakeLeaf)
	}
	if slices.ContainsFunc(s.Former, func(f Trusted) bool { return at(f.Until) }) {
		steps = append(steps, DropFormer)
	}
	return steps, again
}

// renewal is when 2/3 of a certificate's time are over, leaving a third for whatever keeps us from renewing it.
func renewal(cert *x509.Certificate) time.Time {
	begin := cert.NotBefore.Add(backdate)
	return begin.Add(cert.NotAfter.Sub(begin) / 3 * 2)
}

// unfit says why a leaf has to be replaced whatever its age; "" when it has not.
func unfit(leaf, ca *Pair, p Policy) string {
	switch {
	case leaf == nil:
		return "there is none"
	case leaf.Cert.CheckSignatureFrom(ca.Cert) != nil:
		return "it is of another CA"
	case !slices.Equal(leaf.Cert.DNSNames, p.Names):
		return fmt.Sprintf("it is for %q", leaf.Cert.DNSNames)
	}
	return ""
}

// apply does one step.
func (s State) apply(step Step, p Policy, now time.Time) (State, error) {
	var err error
	switch step {
	case MakeNext:
		s.Next, err = newCA(p.Names, now, p.CALifetime)
		s.Rotate = false
	case ForgetRequest:
		s.Rotate = false
	case Promote:
		if s.Current != nil && s.Leaf != nil && s.Leaf.Cert.CheckSignatureFrom(s.Current.Cert) == nil {
			// Some replica may serve the leaf until it expires: for how long its watch is behind is not known.
			s.Former = append(slices.Clone(s.Former), Trusted{s.Current.Cert, s.Leaf.Cert.NotAfter})
		}
		s.Current, s.Next = s.Next, nil
	case MakeLeaf:
		s.Leaf, err = newLeaf(s.Current, p.Names, now, p.LeafLifetime)
	case DropFormer:
		s.Former = slices.DeleteFunc(slices.Clone(s.Former), func(f Trusted) bool { return !now.Before(f.Until) })
	}
	return s, err
}

// inherit takes over the CAs of caBundles into a state that has lost them: replicas may still serve leaves of theirs.
func (s State) inherit(bundle []*x509.Certificate, p Policy, now time.Time) State {
	s.Former = slices.Clone(s.Former)
	for _, cert := range bundle {
		known := slices.ContainsFunc(s.trusted(), cert.Equal)
		if !known && cert.IsCA && now.Before(cert.NotAfter) {
			s.Former = append(s.Former, Trusted{cert, now.Add(p.LeafLifetime)})
		}
	}
	return s
}
