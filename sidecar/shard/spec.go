package shard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a function from keys to owners.
type Kind uint8

const (
	// Rendezvous gives a key to the member with the highest score for the key's slot. The zero value, and the default.
	Rendezvous Kind = iota
	// Ordinal gives a key to the pod whose ordinal is the key, an integer or its hash, modulo the StatefulSet's replicas.
	Ordinal
	// Maglev looks the key up in Maglev's table, as Envoy fills it.
	Maglev
	// Ring goes to the next point of a ring on which every member has some, as Envoy places them.
	Ring
	// Lookup looks the key up in a table that people wrote.
	Lookup
	// PrefixLookup looks for the longest prefix of the key in a table that people wrote.
	PrefixLookup
	// S2 takes the key for a latitude and a longitude, and gives the S2 cell around it to a member.
	S2
)

var kinds = []string{"rendezvous", "ordinal", "maglev", "ring", "lookup", "prefix-lookup", "s2"}

// String answers the word of the annotation.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "?"
}

// Kinds answers the maps' names. The slice is the caller's.
func Kinds() []string { return slices.Clone(kinds) }

const (
	// DefaultSlots is the number of slots of a rendezvous table: 128 KiB for each map, and shares within 10 % or so of the mean
	// at 100 members (standard deviation sqrt(members/slots): 1.2 % at 10, 3.9 % at 100, 12 % at 1,000).
	DefaultSlots = 1 << 16
	// DefaultMaglevSize and DefaultRingSize are Envoy's defaults.
	DefaultMaglevSize = 65_537
	DefaultRingSize   = 1_024
	// DefaultLevel is the level of S2 cells: 3.3 to 6.4 km², a quarter of a town.
	DefaultLevel = 12
	// DefaultHold is how long a pod that comes back under its name keeps its keys while it is away. A pod restarts within it as
	// a rule.
	DefaultHold = time.Minute

	minSlots      = 1 << 10
	maxSlots      = 1 << 20
	maxMaglevSize = 5_000_011 // Envoy's limit
	maxRingSize   = 1 << 20   // points: 18 MiB
	maxHold       = time.Hour
	maxLevel      = 30 // of S2: a leaf cell, below 1 cm²
)

// nameLetters are what names of pods and StatefulSets are made of.
const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-."

// Spec is what a Service says of its map. The zero value is not complete: take ParseSpec("").
type Spec struct {
	Kind  Kind
	Slots int // of Rendezvous, and of the order in which the others fail over: a power of two
	Size  int // entries of Maglev's table (a prime), or the least number of points of the Ring
	Level int // of S2 cells
	// ByHash takes even a key that is an integer by its hash (Ordinal).
	ByHash bool
	// StatefulSet names the StatefulSet whose replicas own the keys, and are the pods that a table's ordinals mean; "" leaves that to
	// discovery.
	StatefulSet string
	// Hold is how long a pod with a stable name that is away stays an owner, where its StatefulSet is not known; 0 is not at all.
	Hold time.Duration
	// ByTable gives the cells that a table has to the owners it says (S2). It is another annotation's doing.
	ByTable bool
	// Bound is how many times the mean load an owner may have before keys go past it; 0 is off, else above 1. It is an
	// annotation of its own.
	Bound float64
	// Sessions says that requests name their pods in cookies: there is an index for them. It is another annotation's doing, too.
	Sessions bool
}

// parameter is one name=value behind the map's name.
type parameter struct {
	name    string
	allowed string
	of      []Kind
	set     func(s *Spec, value string) bool
}

var hashed = []Kind{Rendezvous, Maglev, Ring, S2}

var parameters = []parameter{
	{"slots", "a power of two from 1024 to 1048576", []Kind{Rendezvous}, func(s *Spec, v string) bool {
		return number(v, &s.Slots) && s.Slots >= minSlots && s.Slots <= maxSlots && s.Slots&(s.Slots-1) == 0
	}},
	{"by", "integer or hash", []Kind{Ordinal}, func(s *Spec, v string) bool {
		s.ByHash = v == "hash"
		return v == "hash" || v == "integer"
	}},
	{"size", "a prime number from 2 to 5000011", []Kind{Maglev}, func(s *Spec, v string) bool {
		return number(v, &s.Size) && s.Size <= maxMaglevSize && prime(s.Size)
	}},
	{"size", "a number of points from 1 to 1048576", []Kind{Ring}, func(s *Spec, v string) bool {
		return number(v, &s.Size) && s.Size >= 1 && s.Size <= maxRingSize
	}},
	{"level", "a level of S2 cells from 0 to 30", []Kind{S2}, func(s *Spec, v string) bool {
		return number(v, &s.Level) && s.Level <= maxLevel
	}},
	{"hold", "a duration from 0s to 1h", hashed, func(s *Spec, v string) bool {
		d, err := time.ParseDuration(v)
		s.Hold = d
		return err == nil && d >= 0 && d <= maxHold
	}},
	{"statefulset", "the name of a StatefulSet", append([]Kind{Ordinal, Lookup, PrefixLookup}, hashed...), func(s *Spec, v string) bool {
		s.StatefulSet = v
		return v != "" && len(v) <= 253 && strings.Trim(v, nameLetters) == ""
	}},
}

// ParseSpec reads sluice.mesh/shard-map: a map's name, and behind commas its parameters, as in "ring,size=4096". "" is
// rendezvous. The error says what is allowed.
func ParseSpec(text string) (Spec, error) {
	name, rest, more := strings.Cut(text, ",")
	name = strings.TrimSpace(name)
	if name == "" && !more {
		name = kinds[Rendezvous]
	}
	kind := slices.Index(kinds, name)
	if kind < 0 {
		return Spec{}, fmt.Errorf("shard map %q is unknown; allowed are %s", name, strings.Join(kinds, ", "))
	}
	s := Spec{Kind: Kind(kind), Slots: DefaultSlots, Level: DefaultLevel, Hold: DefaultHold}
	switch s.Kind {
	case Maglev:
		s.Size = DefaultMaglevSize
	case Ring:
		s.Size = DefaultRingSize
	}
	for more {
		var p string
		p, rest, more = strings.Cut(rest, ",")
		name, value, _ := strings.Cut(p, "=")
		if err := s.parameter(strings.TrimSpace(name), strings.TrimSpace(value)); err != nil {
			return Spec{}, err
		}
	}
	return s, nil
}

func (s *Spec) parameter(name, value string) error {
	var have []string
	for _, p := range parameters {
		if !slices.Contains(p.of, s.Kind) {
			continue
		}
		if p.name != name {
			have = append(have, p.name)
			continue
		}
		if !p.set(s, value) {
			return fmt.Errorf("shard map %s: %s=%q: allowed is %s", s.Kind, name, value, p.allowed)
		}
		return nil
	}
	return fmt.Errorf("shard map %s: parameter %q is unknown; allowed are %s", s.Kind, name, strings.Join(have, ", "))
}

// NeedsStatefulSet says whether the map is nothing without the StatefulSet's replicas.
func (s Spec) NeedsStatefulSet() bool { return s.Kind == Ordinal || s.StatefulSet != "" }

// NeedsTable says whether the map is nothing without a table.
func (s Spec) NeedsTable() bool { return s.Kind == Lookup || s.Kind == PrefixLookup || s.ByTable }

func number(text string, n *int) bool {
	v, err := strconv.ParseUint(text, 10, 31)
	*n = int(v)
	return err == nil
}

func prime(n int) bool {
	if n < 2 {
		return false
	}
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}
