package shard

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/sluice-mesh/sluice/sidecar/cluster"
)

// Member is a pod that may own keys, whether it can be reached at present or not. It is immutable, and the same pointer from
// map to map as long as the pod is a member.
type Member struct {
	// ID is the identity that is hashed: the pod's name where it comes back under it (StatefulSets), else its UID, else its
	// address. So a StatefulSet's pod keeps its keys wherever it restarts.
	ID string
	// Name is the pod's name, for people.
	Name string
	// Ordinal is the pod's number in its StatefulSet; -1 where it has none.
	Ordinal int

	hash     uint64 // XXH64 of ID
	expected bool   // it is a member because of the StatefulSet's replicas, ready or not
}

// StatefulSet is what maps need to know of one.
type StatefulSet struct {
	Name     string
	Replicas int // spec.replicas
	Start    int // spec.ordinals.start
}

// pod answers the name of the pod with an ordinal.
func (s *StatefulSet) pod(ordinal int) string { return podOf(s.Name, ordinal) }

// podOf answers the name of a StatefulSet's pod.
func podOf(set string, ordinal int) string { return set + "-" + strconv.Itoa(ordinal) }

// contains says whether a pod of that name is one of the StatefulSet, and whether it is one of its replicas.
func (s *StatefulSet) contains(name string) (ours, replica bool) {
	base, ordinal := split(name)
	if ordinal < 0 || base != s.Name {
		return false, false
	}
	return true, ordinal >= s.Start && ordinal-s.Start < s.Replicas
}

// maxNamedOrdinal is the largest ordinal that a name alone proves. A ReplicaSet's pods end in five characters that may all be
// digits, none of them below 2, so a number with five digits may be no ordinal. With a hostname, which StatefulSets set, it is.
const maxNamedOrdinal = 9_999

// identify answers who an endpoint is.
func identify(e *cluster.Endpoint) (id string, ordinal int) {
	if StatefulSetOf(e.Name, e.Hostname) != "" {
		_, n := split(e.Name)
		return e.Name, n
	}
	if e.UID != "" {
		return e.UID, -1
	}
	return e.Name, -1
}

// StatefulSetOf answers the StatefulSet that a pod is of, as far as its name and hostname prove it; "" where they do not.
func StatefulSetOf(pod, hostname string) string {
	if base, n := split(pod); n >= 0 && (n <= maxNamedOrdinal || hostname == pod) {
		return base
	}
	return ""
}

// split takes a StatefulSet's pod name apart; the ordinal is -1 where it is none: "web-3" is "web" and 3, "web-03" has none.
func split(name string) (base string, ordinal int) {
	i := strings.LastIndexByte(name, '-')
	digits := name[i+1:]
	if i <= 0 || digits == "" || len(digits) > 9 || digits[0] == '0' && digits != "0" {
		return name, -1
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return name, -1
		}
		ordinal = ordinal*10 + int(c-'0')
	}
	return name[:i], ordinal
}

func newMember(id, name string, ordinal int) *Member {
	return &Member{ID: id, Name: name, Ordinal: ordinal, hash: xxhash.Sum64String(id)}
}
