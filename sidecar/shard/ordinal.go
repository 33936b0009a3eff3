package shard

import "github.com/sluice-mesh/sluice/sidecar/shardkey"

// line answers the StatefulSet's members by ordinal. All of them are members, and expected, whatever is ready.
func (m *Map) line() []index {
	line := make([]index, m.in.StatefulSet.Replicas)
	for i, member := range m.members {
		if member != nil && member.expected {
			line[member.Ordinal-m.in.StatefulSet.Start] = index(i)
		}
	}
	return line
}

// offset answers a key's ordinal less Start: the key, or where it is no integer its hash, modulo the replicas.
func (m *Map) offset(k shardkey.Key) int {
	if !m.spec.ByHash {
		if r, ok := remainder(k.Text, uint64(len(m.ordinals))); ok {
			return int(r)
		}
	}
	return int(k.Hash % uint64(len(m.ordinals)))
}

// remainder answers an integer of any length modulo n, never negative: -1 modulo 5 is 4. It reports false where the text is no
// integer: digits, with a minus sign before them if it is negative.
func remainder(text []byte, n uint64) (uint64, bool) {
	digits := text
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		digits = text[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	r := uint64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		r = (r*10 + uint64(c-'0')) % n // n is below 2³², so this cannot overflow
	}
	if negative && r != 0 {
		r = n - r
	}
	return r, true
}
