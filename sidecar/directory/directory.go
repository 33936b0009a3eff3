// Package directory answers people who ask which pod owns a key: the admin port of a sidecar and sluicectl. It asks the very map
// that requests are sent by, and has no state of its own. It is safe for concurrent use.
package directory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/discovery"
	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shard"
)

// Answer says who owns a key of a Service, and why.
type Answer struct {
	Service string `json:"service"` // namespace/name:port
	// From is where the key of a request is: the parts of shard-key, or the cookie of a session.
	From []string `json:"from"`
	Key  string   `json:"key"`            // the text that is hashed
	Hash string   `json:"hash,omitempty"` // XXH64 of it, hexadecimal
	Map  string   `json:"map"`
	// Place is where the key is on the map.
	Place string `json:"place,omitempty"`
	// Why is "owned", or why the owner cannot be reached, or why there is none.
	Why        string `json:"why"`
	Owner      *Pod   `json:"owner"` // null where nobody owns the key
	Successors []Pod  `json:"successors"`
	// Fallback is what happens to the key while the owner cannot be used.
	Fallback string `json:"fallback"`
	Members  int    `json:"members"` // pods that own keys
	Ready    int    `json:"ready"`   // of them, those that can be reached
	// Generation counts the changes that this process has seen. Fingerprint, hexadecimal, is the same in all whose maps answer alike.
	Generation  uint64 `json:"generation"`
	Fingerprint string `json:"fingerprint"`
}

// Pod is one of the pods that own keys.
type Pod struct {
	Name    string `json:"name"`
	ID      string `json:"id"` // what is hashed
	Ordinal *int   `json:"ordinal,omitempty"`
	Address string `json:"address,omitempty"` // "" while it cannot be reached
	Node    string `json:"node,omitempty"`
	Zone    string `json:"zone,omitempty"`
}

// ErrNoMap says that requests of the Service have no owners.
var ErrNoMap = errors.New("its requests have no owners: it has neither " + rules.Prefix + "shard-key nor " + rules.Prefix + "shard-cookie")

// Ask answers who owns the key with these parts, and up to so many that come after the owner. For a Service with sessions by cookie
// it is the cookie's value. Errors are about the question.
func Ask(t *discovery.Target, parts []string, successors int) (Answer, error) {
	s := t.Snapshot()
	m := s.Shard
	if m == nil {
		return Answer{}, fmt.Errorf("%s: %w", t.Name, ErrNoMap)
	}
	a := Answer{Service: t.Name, Successors: []Pod{}, Fallback: fallback(&s.Rules.Shard), Fingerprint: hex(m.Fingerprint()),
		Generation: m.Generation()}
	a.Members, a.Ready = m.Members()
	keys := s.Rules.Shard.Keys()
	if keys == nil {
		return a.session(s, parts)
	}
	key, err := keys.Key(parts...)
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w", t.Name, err)
	}
	e := m.Explain(key, successors+1)
	a.From, a.Key, a.Hash = keys.Parts(), e.Key, hex(e.Hash)
	a.Map, a.Place, a.Why = e.Map, e.Place, e.Why.String()
	for i, o := range e.Order {
		if i == 0 {
			a.Owner = podOf(o)
		} else {
			a.Successors = append(a.Successors, *podOf(o))
		}
	}
	return a, nil
}

// Split takes a key apart that is written as one text, with commas between its parts.
func Split(t *discovery.Target, key string) []string {
	if s := t.Snapshot(); s.Shard != nil && s.Rules.Shard.Keys() != nil {
		return s.Rules.Shard.Keys().Split(key)
	}
	return []string{key}
}

func (a Answer) session(s *discovery.Snapshot, parts []string) (Answer, error) {
	cookie := s.Rules.Shard.Session()
	if len(parts) != 1 {
		return Answer{}, fmt.Errorf("%s: give the value of the cookie %s", a.Service, cookie.Name)
	}
	o := s.Shard.Resume([]byte(parts[0]))
	a.From, a.Key, a.Map, a.Why = []string{"cookie:" + cookie.Name}, parts[0], "session", o.Why.String()
	if o.Member != nil {
		a.Owner = podOf(o)
	}
	return a, nil
}

func podOf(o shard.Owner) *Pod {
	p := &Pod{Name: o.Member.Name, ID: o.Member.ID}
	if o.Member.Ordinal >= 0 {
		p.Ordinal = &o.Member.Ordinal
	}
	if e := o.Endpoint; e != nil {
		at := e.At()
		p.Address, p.Node, p.Zone = e.Addr.String(), at.Node, at.Zone
	}
	return p
}

func fallback(s *rules.Shard) string {
	if s.Fallback == rules.FallWait {
		return "wait=" + s.FallbackWait.String()
	}
	return s.Fallback.String()
}

func hex(v uint64) string { return fmt.Sprintf("%016x", v) }

// Find answers the target of a Service by "namespace/name:port", or "namespace/name" for the one with the lowest port that has
// owners, or else the lowest port. Errors say what there is.
func Find(targets []*discovery.Target, service string) (*discovery.Target, error) {
	name, port, hasPort := strings.Cut(service, ":")
	namespace, base, ok := strings.Cut(name, "/")
	number, err := strconv.ParseUint(port, 10, 16)
	if !ok || namespace == "" || base == "" || strings.Contains(base, "/") || hasPort && (err != nil || number == 0) {
		return nil, fmt.Errorf("service %q: want NAMESPACE/NAME or NAMESPACE/NAME:PORT", service)
	}
	var best *discovery.Target
	var known []string
	for _, t := range targets {
		if t.Namespace != namespace || t.Service != base {
			continue
		}
		known = append(known, strconv.Itoa(int(t.Port)))
		if hasPort && uint64(t.Port) != number {
			continue
		}
		if best == nil || better(t, best) {
			best = t
		}
	}
	switch {
	case best != nil:
		return best, nil
	case len(known) > 0:
		return nil, &NotFoundError{fmt.Sprintf("Service %s has no port %s; it has %s", name, port, strings.Join(known, ", "))}
	}
	return nil, &NotFoundError{fmt.Sprintf("Service %s is not known here", name)}
}

// better says whether a target is rather meant than another.
func better(t, than *discovery.Target) bool {
	if a, b := t.Snapshot().Shard != nil, than.Snapshot().Shard != nil; a != b {
		return a
	}
	return t.Port < than.Port
}

// NotFoundError says that there is no such target, as opposed to no such question.
type NotFoundError struct{ what string }

func (e *NotFoundError) Error() string { return e.what }
