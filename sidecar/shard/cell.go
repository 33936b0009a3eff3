package shard

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/golang/geo/s2"

	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// ownPlace answers who owns the cell around a place. Without a table that is the cell of the map's level, by rendezvous; with
// one it is the smallest cell of the table that contains the place.
func (m *Map) ownPlace(k shardkey.Key) (Owner, uint64) {
	leaf, ok := leafOf(k.Text)
	if !ok {
		return Owner{Why: NoPlace}, k.Hash
	}
	cell := leaf.Parent(m.spec.Level)
	hash := cellHash(cell)
	if t := m.in.Table; t != nil {
		return m.lookUp(t.findCell(leaf)), hash
	}
	return m.whoIs(m.slots[hash>>m.shift]), hash
}

// findCell answers the target of the smallest cell around a leaf cell; -1 where there is none.
func (t *Table) findCell(leaf s2.CellID) int {
	for level := s2.MaxLevel; level >= 0; level-- {
		if i, ok := t.cells[leaf.Parent(level)]; ok {
			return i
		}
	}
	return t.other
}

func cellHash(cell s2.CellID) uint64 {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(cell))
	return xxhash.Sum64(b[:])
}

// leafOf reads a latitude and a longitude in degrees with a comma between them: "48.2082,16.3738".
func leafOf(text []byte) (s2.CellID, bool) {
	i := bytes.IndexByte(text, ',')
	if i < 0 {
		return 0, false
	}
	lat, okLat := degrees(text[:i])
	lng, okLng := degrees(text[i+1:])
	at := s2.LatLngFromDegrees(lat, lng)
	if !okLat || !okLng || !at.IsValid() {
		return 0, false
	}
	return s2.CellIDFromLatLng(at), true
}

// degrees reads a decimal number; white space around it is allowed.
func degrees(text []byte) (float64, bool) {
	if v, ok := plain(text); ok {
		return v, true
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > 32 {
		return 0, false
	}
	for _, c := range text { // no hexadecimal, no underscores, no Inf, no NaN
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	return v, err == nil
}

// plain reads what most places are written as, a few digits with a point among them, and reports false for all else. The digits are an
// integer below 2⁵³ and the power of ten is below 10²³, both of which a float64 holds exactly; so their quotient is rounded once, and is the
// number that strconv answers.
func plain(text []byte) (float64, bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) == 0 || len(text) > maxPlain {
		return 0, false
	}
	digits, point := uint64(0), -1
	for i, c := range text {
		switch d := c - '0'; {
		case d < 10:
			digits = digits*10 + uint64(d)
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	v := float64(digits)
	if point >= 0 {
		if len(text) == 1 {
			return 0, false
		}
		v /= powers[len(text)-1-point]
	}
	if negative {
		v = -v
	}
	return v, true
}

// maxPlain is how many digits and points plain reads: 10¹⁵ is below 2⁵³.
const maxPlain = 15

var powers = [maxPlain]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14}
