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
	t, level := m.in.Table, m.spec.Level
	if t != nil && len(t.levels) > 0 {
		level = max(level, t.levels[0])
	}
	cell, ok := cellOf(k.Text, level)
	if !ok {
		return Owner{Why: NoPlace}, k.Hash
	}
	if t != nil {
		return m.lookUp(t.findCell(cell)), cellHash(cell.Parent(m.spec.Level))
	}
	hash := cellHash(cell)
	return m.whoIs(m.slots[hash>>m.shift]), hash
}

// findCell answers the target of the smallest cell around one that is smaller than all of the table; -1 where there is none.
func (t *Table) findCell(small s2.CellID) int {
	for _, level := range t.levels {
		if i, ok := t.cells[small.Parent(level)]; ok {
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

// cellOf answers the cell of a level around a place. It reads a latitude and a longitude in degrees with a comma between them: "48.2082,16.3738".
func cellOf(text []byte, level int) (s2.CellID, bool) {
	lat, n, ok := plain(text)
	if ok && n < len(text) {
		if lng, m, ok := plain(text[n+1:]); ok && n+1+m == len(text) {
			return cellAt(lat, lng, level)
		}
	}
	i := bytes.IndexByte(text, ',')
	if i < 0 {
		return 0, false
	}
	lat, okLat := degrees(text[:i])
	lng, okLng := degrees(text[i+1:])
	if !okLat || !okLng {
		return 0, false
	}
	return cellAt(lat, lng, level)
}

// degrees reads a decimal number; white space around it is allowed.
func degrees(text []byte) (float64, bool) {
	if v, n, ok := plain(text); ok && n == len(text) {
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

// plain reads what most places are written as, a few digits with a point among them, up to the end or a comma, which is at n; it reports
// false for all else. The digits are an integer below 2⁵³ and the power of ten is below 10²³, both of which a float64 holds exactly; so their
// quotient is rounded once, and is the number that strconv answers.
func plain(text []byte) (v float64, n int, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		n = 1
	}
	digits, begin, behind := uint64(0), n, 0
	for n < len(text) && text[n]-'0' < 10 {
		digits = digits*10 + uint64(text[n]-'0')
		n++
	}
	read := n - begin
	if n < len(text) && text[n] == '.' {
		n++
		begin = n
		for n < len(text) && text[n]-'0' < 10 {
			digits = digits*10 + uint64(text[n]-'0')
			n++
		}
		behind = n - begin
		read += behind
	}
	if read == 0 || read > maxPlain || n < len(text) && text[n] != ',' {
		return 0, 0, false
	}
	v = float64(digits) / powers[behind&15]
	if negative {
		v = -v
	}
	return v, n, true
}

// maxPlain is how many digits plain reads: 10¹⁵ is below 2⁵³.
const maxPlain = 15

var powers = [16]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}
