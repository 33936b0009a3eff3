package shard

// target is one of a table's owners, found among the members or not.
type target struct {
	member *Member // nil where nobody knows who is meant
	index  index   // nobody where the pod is no member at present
}

// numbered says which pods a table's ordinals mean: those of one StatefulSet.
type numbered struct {
	of      string // "" where there are no such pods
	unknown bool   // nobody can tell which StatefulSet it is
}

// numbers answers which pods the table's ordinals mean. A pod of another StatefulSet is never meant, whoever is there.
func (m *Map) numbers() numbered {
	switch {
	case m.spec.StatefulSet != "":
		return numbered{of: m.spec.StatefulSet}
	case m.in.OrdinalsUnknown:
		return numbered{unknown: true}
	case m.in.OrdinalsOf != "":
		return numbered{of: m.in.OrdinalsOf}
	}
	return m.numberedAlike()
}

// numberedAlike answers the StatefulSet that all members with ordinals are of.
func (m *Map) numberedAlike() (n numbered) {
	for _, member := range m.members {
		if member == nil || member.Ordinal < 0 {
			continue
		}
		if base, _ := split(member.Name); n.of == "" {
			n.of = base
		} else if n.of != base {
			return numbered{unknown: true}
		}
	}
	return n
}

// aim finds the table's owners among the members.
func (m *Map) aim(before *Map, c change) []target {
	t := m.in.Table
	if m.numbered = m.numbers(); before.in.Table == t && before.targets != nil && !c.any() && before.numbered == m.numbered {
		return before.targets
	}
	targets := make([]target, len(t.targets))
	hit := func(i int, place index) { // of several pods of a name the one with the lowest identity counts
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
			if base, _ := split(member.Name); base == m.numbered.of {
				hit(i, index(place))
			}
		}
	}
	for name, i := range t.byName {
		if targets[i].member == nil {
			targets[i] = target{absent(name), nobody}
		}
	}
	for ordinal, i := range t.byNumber {
		switch {
		case targets[i].member != nil:
		case m.numbered.unknown:
			targets[i].index = nobody
		case m.numbered.of == "":
			targets[i] = target{newMember(t.targets[i], t.targets[i], ordinal), nobody}
		default:
			name := podOf(m.numbered.of, ordinal)
			targets[i] = target{newMember(name, name, ordinal), nobody}
		}
	}
	return targets
}

// absent makes the member that stands for an owner who is not there.
func absent(name string) *Member {
	_, ordinal := split(name)
	return newMember(name, name, ordinal)
}

// lookUp answers the owner with that number in the table; -1 is none.
func (m *Map) lookUp(i int) Owner {
	if i < 0 {
		return Owner{Why: NoEntry}
	}
	switch t := m.targets[i]; {
	case t.index != nobody:
		return m.whoIs(t.index)
	case t.member == nil:
		return Owner{Why: NoStatefulSet}
	default:
		return Owner{Member: t.member, Why: Down}
	}
}
