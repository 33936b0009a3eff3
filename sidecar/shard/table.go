package shard

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/golang/geo/s2"
)

// Table is a list of keys and their owners that people wrote. It is immutable and safe for concurrent use.
type Table struct {
	entries  map[string]int // which target a key has
	lengths  []int          // of keys, longest first
	cells    map[s2.CellID]int
	levels   []int          // of cells, smallest cells first
	targets  []string       // as written
	byName   map[string]int // targets that are pods' names
	byNumber map[int]int    // targets that are ordinals
	other    int            // target of every other key; -1 where there is none
	sum      uint64         // of the hashes of all keys with their owners, in whatever order and way they are written
}

// Entries answers how many keys the table has.
func (t *Table) Entries() int { return len(t.entries) + len(t.cells) }

// HasOrdinals says whether the table has owners that are ordinals.
func (t *Table) HasOrdinals() bool { return len(t.byNumber) > 0 }

// tableEntry is the ConfigMap's entry that holds a table in lines.
const tableEntry = "table"

// maxTableKey bounds a key, in bytes, and so the lengths of prefixes to try for each request.
const maxTableKey = 256

// ParseTable reads a ConfigMap's data. Each entry is a key and its owner: a pod's name, or an ordinal. The entry "table" holds
// more of them, a line each, the owner being the last word: ConfigMaps allow letters, digits, hyphens, dots and underscores in
// their own keys only. Empty lines, and lines that begin with #, say nothing. The key * stands for all others. For S2 the keys
// are cells' tokens. Errors name the entry or line; a key that is there twice is one.
func ParseTable(kind Kind, data map[string]string) (*Table, error) {
	t := &Table{entries: map[string]int{}, byName: map[string]int{}, byNumber: map[int]int{}, other: -1}
	if kind == S2 {
		t.cells = map[s2.CellID]int{}
	}
	names := make([]string, 0, len(data))
	for name := range data {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == tableEntry {
			continue
		}
		if err := t.add(name, strings.TrimSpace(data[name])); err != nil {
			return nil, fmt.Errorf("entry %q: %w", name, err)
		}
	}
	number := 0
	for line := range strings.Lines(data[tableEntry]) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndexAny(line, " \t")
		if i < 0 {
			return nil, fmt.Errorf("entry %q, line %d: %s: want a key and its owner, with a space between them", tableEntry, number, short(line))
		}
		if err := t.add(strings.TrimSpace(line[:i]), line[i+1:]); err != nil {
			return nil, fmt.Errorf("entry %q, line %d: %w", tableEntry, number, err)
		}
	}
	for key := range t.entries {
		if !slices.Contains(t.lengths, len(key)) {
			t.lengths = append(t.lengths, len(key))
		}
	}
	for cell := range t.cells {
		if !slices.Contains(t.levels, cell.Level()) {
			t.levels = append(t.levels, cell.Level())
		}
	}
	slices.SortFunc(t.lengths, func(a, b int) int { return b - a })
	slices.SortFunc(t.levels, func(a, b int) int { return b - a })
	return t, nil
}

// short answers a text in quotes for an error: of a long one its beginning, for an entry may have as much as a ConfigMap, 1 MiB.
func short(text string) string {
	const most = 40 // characters, which is more than keys and owners mostly have
	if utf8.RuneCountInString(text) <= most {
		return strconv.Quote(text)
	}
	return fmt.Sprintf("%.*q…", most, text)
}

func (t *Table) add(key, owner string) error {
	if owner == "" || strings.Trim(owner, nameLetters) != "" {
		return fmt.Errorf("owner %s: want a pod's name or an ordinal", short(owner))
	}
	if len(key) > maxTableKey {
		return fmt.Errorf("key %s is longer than %d bytes", short(key), maxTableKey)
	}
	i := t.target(owner)
	twice, hash := false, xxhash.Sum64String(key)
	switch {
	case key == "*":
		twice = t.other >= 0
		t.other = i
	case t.cells != nil:
		cell := s2.CellIDFromToken(key)
		if !cell.IsValid() {
			return fmt.Errorf("key %q is no token of an S2 cell", key)
		}
		_, twice = t.cells[cell]
		t.cells[cell] = i
		hash = cellHash(cell)
	default:
		_, twice = t.entries[key]
		t.entries[key] = i
	}
	if twice {
		return fmt.Errorf("key %q is there twice", key)
	}
	if n, err := strconv.Atoi(owner); err == nil && n >= 0 {
		owner = strconv.Itoa(n) // 02 is 2
	}
	t.sum += score(score(0, hash), xxhash.Sum64String(owner)) // twice, for a key may be its owner's name
	return nil
}

// target answers the number of an owner among the targets.
func (t *Table) target(owner string) int {
	next := len(t.targets)
	if n, err := strconv.Atoi(owner); err == nil && n >= 0 {
		if i, ok := t.byNumber[n]; ok {
			return i
		}
		t.byNumber[n] = next
	} else {
		if i, ok := t.byName[owner]; ok {
			return i
		}
		t.byName[owner] = next
	}
	t.targets = append(t.targets, owner)
	return next
}

// find answers a key's target; -1 where there is none.
func (t *Table) find(text []byte, kind Kind) int {
	if kind == Lookup {
		if i, ok := t.entries[string(text)]; ok {
			return i
		}
		return t.other
	}
	for _, n := range t.lengths {
		if n <= len(text) {
			if i, ok := t.entries[string(text[:n])]; ok {
				return i
			}
		}
	}
	return t.other
}
