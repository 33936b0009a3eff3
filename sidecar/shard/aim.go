package shard

import "strconv"

// target is one of a table's owners, found among the members or not.
type target struct {
	member *Member
	index  index // nobody where the pod is no member at present
}

// aim finds the table's owners among the members. Of several pods with an ordinal the one with the lowest identity counts.
func (m *Map) aim(before *Map, c change) []target {
	t := m.in.Table
	if before.in.Table == t && before.targets != nil && !c.any() {
		return before.targets
	}
	targets := make([]target, len(t.targets))
	hit := func(i int, place index) {
		if other := targets[i].member; other == nil || m.members[place].ID < other.ID {
			targets[i] = target{m.members[place], place}
		}
	}
	for place, member := range m.members {
		if member == nil {
			continue
		}
		if i, ok := t.byName[member.Name]; ok {
			hit(i, index(place))
		}
		if i, ok := t.byNumber[member.Ordinal]; ok {
			hit(i, index(place))
		}
	}
	for i, name := range t.targets {
		if targets[i].member == nil {
			targets[i] = target{absent(name), nobody}
		}
	}
	return targets
}

// absent makes the member that stands for an owner who is not there.
func absent(name string) *Member {
	ordinal := -1
	if n, err := strconv.Atoi(name); err == nil {
		ordinal = n
	} else if _, n := split(name); n >= 0 {
		ordinal = n
	}
	return newMember(name, name, ordinal)
}

// lookUp answers the owner with that number in the table; -1 is none.
func (m *Map) lookUp(i int) Owner {
	if i < 0 {
		return Owner{Why: NoEntry}
	}
	if t := m.targets[i]; t.index != nobody {
		return m.whoIs(t.index)
	}
	return Owner{Member: m.targets[i].member, Why: Down}
}
