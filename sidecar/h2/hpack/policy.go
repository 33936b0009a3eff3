package hpack

import "strings"

// What deserves a place in the table? Entering a field costs nothing on the wire the first time, but pushes out the
// oldest one, whatever it is worth, and a trace id or a timestamp will never be asked for again. So each name has a
// record of whether its values came back. Where they do, a new value is entered at once; where they do not, only one
// that has been seen before.

// record is what the encoder knows of one field name.
type record struct {
	name    string // "": too long to be kept
	static  uint8  // the name's entry in the static table; 0: none
	entered bool   // last is valid
	judged  bool   // last has had its say in score
	last    uint16
	score   int8
}

const (
	// firstScore lets the first two values of a name in before any proof.
	firstScore = 2
	// bestScore is soon used up when values stop coming back.
	bestScore = 3
	// worstScore is where even values seen before did not come back while they were in the table: there are too many.
	worstScore = -2
)

// names is a small two-way cache of records.
type names struct {
	sets [][2]record
	long record // stands in for a name that is too long to be kept
}

const nameSets = 16

// longestName is the longest name that a record is kept of, in bytes.
const longestName = 64

func (n *names) init() { n.sets = make([][2]record, nameSets) }

// get gives the record of a name, a new one if need be. It is valid until the next call.
func (n *names) get(name string) *record {
	if len(name) > longestName {
		n.long = record{}
		return &n.long
	}
	h := hash(name, "")
	set := &n.sets[h%nameSets]
	if set[0].name == name {
		return &set[0]
	}
	if set[1].name == name {
		return &set[1]
	}
	victim := &set[0]
	if set[1].name == "" || set[1].score < set[0].score {
		victim = &set[1]
	}
	if set[0].name == "" {
		victim = &set[0]
	}
	*victim = record{static: staticNames[name], score: firstScore}
	if victim.static != 0 {
		victim.name = static[victim.static].Name
	} else {
		victim.name = strings.Clone(name)
	}
	return victim
}

// worthwhile decides whether a field that is in no table is entered. named says that its name can be referred to.
func (e *Encoder) worthwhile(n *record, named bool, size int, h uint32) bool {
	before := e.seen.saw(h)
	if size > e.max/2 && (!before || size > e.max) {
		return false
	}
	if n.entered && !n.judged {
		n.judged = true
		switch used, ok := e.index.used(n.last); {
		case !ok: // evicted: that proves nothing
		case used:
			n.score = min(n.score+1, bestScore)
		default:
			n.score = max(n.score-1, worstScore)
		}
	}
	switch {
	case !named && size <= e.max/8:
		return true // the name, at least, will be of use
	case n.score > 0:
		return true
	case !before:
		return false
	case n.score == worstScore && e.index.size+size > e.max:
		e.skipped++
		return e.skipped%4 == 0
	}
	return true
}

// filter remembers values that were written lately, approximately: a place holds 16 bits of the last hash that fell there.
type filter struct{ places [128]uint16 }

// saw reports whether h was there before, and remembers it.
func (f *filter) saw(h uint32) bool {
	p := &f.places[h%uint32(len(f.places))]
	tag := uint16(h>>16) | 1
	before := *p == tag
	*p = tag
	return before
}
