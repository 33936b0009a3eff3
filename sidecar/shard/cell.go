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
