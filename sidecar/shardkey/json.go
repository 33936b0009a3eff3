package shardkey

// maxDepth bounds how deep JSON may be nested before its key is found. encoding/json allows 10,000.
const maxDepth = 512

// finder looks for one value in a JSON text that comes piece by piece. It reads each byte once, stops at the value, and checks
// what it passes (RFC 8259); what comes behind the value nobody looks at. Of members with the same name the first counts,
// which is the only rule that allows to stop. The zero value is ready.
type finder struct {
	pos     int // bytes read
	state   jsonState
	begin   int  // of the string, number or literal that is being read
	escaped bool // there is a backslash in the string
	digits  int  // hexadecimal ones still to come of an escape; or letters read of a literal
	isName  bool // the string is a member's name

	depth  int                   // containers that are open
	arrays [maxDepth / 64]uint64 // bit d is set if the container at depth d+1 is an array

	// The first steps of the pointer that have led to a container which is open. It is the one at depth steps+1, and the only
	// one in which the next step may be found.
	steps int
	index int  // of the next element, if that container is an array
	hit   bool // the next value is what that step leads to
}

type jsonState uint8

const (
	wantValue jsonState = iota
	wantValueOrEnd
	wantName
	wantNameOrEnd
	wantColon
	wantCommaOrEnd
	inString
	inEscape
	inHex
	inLiteral
	// inNumber and those behind it are the places within a number.
	inNumber // behind the minus sign
	inZero
	inInteger
	inPoint
	inFraction
	inExponent
	inExponentSign
	inExponentDigits
)

// find goes on with b, of which the first f.pos bytes are those of the last time. Found comes with the value: a string with
// its quotation marks, a number, true or false.
func (f *finder) find(b []byte, complete bool, p *part) (value []byte, o Outcome) {
	for ; f.pos < len(b); f.pos++ {
		c := b[f.pos]
		switch f.state {
		case inString:
			end := f.pos
			for end < len(b) && b[end] != '"' && b[end] != '\\' && b[end] >= ' ' {
				end++
			}
			if f.pos = end; end == len(b) {
				return nil, f.starved(complete)
			}
			switch b[end] {
			case '\\':
				f.state, f.escaped = inEscape, true
			case '"':
				if f.isName {
					f.name(b[f.begin:end+1], p)
					f.state = wantColon
				} else if f.state = wantCommaOrEnd; f.target(p) {
					return b[f.begin : end+1], Found
				}
			default:
				return nil, Bad
			}
		case inEscape:
			f.state = inString
			switch c {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				f.state, f.digits = inHex, 4
			default:
				return nil, Bad
			}
		case inHex:
			if _, ok := hex(c); !ok {
				return nil, Bad
			}
			if f.digits--; f.digits == 0 {
				f.state = inString
			}
		case inLiteral:
			word := literal(b[f.begin])
			if c != word[f.digits] {
				return nil, Bad
			}
			if f.digits++; f.digits == len(word) {
				f.state = wantCommaOrEnd
				switch {
				case !f.target(p):
				case word == "null":
					return nil, Absent
				default:
					return b[f.begin : f.pos+1], Found
				}
			}
		default:
			if f.state >= inNumber {
				ok, more := f.number(c)
				switch {
				case !ok:
					return nil, Bad
				case more:
					continue
				case f.target(p):
					return b[f.begin:f.pos], Found
				}
				f.state = wantCommaOrEnd
			}
			if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
				continue
			}
			if o := f.structure(c, p); o != NeedMore {
				return nil, o
			}
		}
	}
	return nil, f.starved(complete)
}

// starved answers what the end of the bytes means.
func (f *finder) starved(complete bool) Outcome {
	switch {
	case !complete:
		return NeedMore
	case f.depth == 0 && f.state == wantValue:
		return Absent // an empty body
	}
	return Bad
}

// structure takes a character between values. NeedMore means to go on.
func (f *finder) structure(c byte, p *part) Outcome {
	switch f.state {
	case wantNameOrEnd, wantName:
		switch {
		case c == '"':
			f.state, f.begin, f.escaped, f.isName = inString, f.pos, false, true
			return NeedMore
		case c == '}' && f.state == wantNameOrEnd:
			return f.close()
		}
		return Bad
	case wantColon:
		f.state = wantValue
		if c != ':' {
			return Bad
		}
		return NeedMore
	case wantCommaOrEnd:
		switch {
		case c == ',' && f.inArray():
			f.state = wantValue
			if f.onPath() {
				f.index++
				f.hit = f.index == p.indexes[f.steps]
			}
			return NeedMore
		case c == ',':
			f.state = wantName
			return NeedMore
		case c == ']' && f.inArray(), c == '}' && !f.inArray():
			return f.close()
		}
		return Bad
	}
	if c == ']' && f.state == wantValueOrEnd {
		return f.close()
	}
	return f.value(c, p)
}

// value takes a value's first character.
func (f *finder) value(c byte, p *part) Outcome {
	if c == '{' || c == '[' {
		return f.open(c == '[', p)
	}
	f.begin, f.escaped, f.isName, f.digits = f.pos, false, false, 1
	switch {
	case c == '"':
		f.state = inString
	case c == '-':
		f.state = inNumber
	case c == '0':
		f.state = inZero
	case c >= '1' && c <= '9':
		f.state = inInteger
	case literal(c) != "":
		f.state = inLiteral
	default:
		return Bad
	}
	if f.depth == 0 || f.hit && f.steps+1 < len(p.steps) {
		return Absent // the pointer goes on below a value that has nothing below it
	}
	return NeedMore
}

// open begins an object or an array.
func (f *finder) open(array bool, p *part) Outcome {
	if f.depth == maxDepth {
		return Bad
	}
	if f.hit {
		f.hit = false
		if f.steps++; f.steps == len(p.steps) {
			return Bad // no object or array is a key
		}
	}
	if f.arrays[f.depth/64] &^= 1 << (f.depth % 64); array {
		f.arrays[f.depth/64] |= 1 << (f.depth % 64)
	}
	f.depth++
	f.state = wantNameOrEnd
	if array {
		f.state = wantValueOrEnd
		if f.onPath() {
			f.index, f.hit = 0, p.indexes[f.steps] == 0
		}
	}
	return NeedMore
}

// close ends an object or an array. When it is the one that the pointer had led to, there is no such value.
func (f *finder) close() Outcome {
	if f.onPath() {
		return Absent
	}
	f.depth--
	f.state = wantCommaOrEnd
	return NeedMore
}

// name takes a member's name, in its quotation marks.
func (f *finder) name(quoted []byte, p *part) {
	if !f.onPath() {
		return
	}
	if inner := quoted[1 : len(quoted)-1]; f.escaped {
		f.hit = equalUnquoted(inner, p.steps[f.steps])
	} else {
		f.hit = string(inner) == p.steps[f.steps]
	}
}

// target says whether the scalar that ended is the pointer's.
func (f *finder) target(p *part) bool {
	was := f.hit
	f.hit = false
	return was && f.steps+1 == len(p.steps)
}

func (f *finder) onPath() bool { return f.depth == f.steps+1 }

func (f *finder) inArray() bool { return f.arrays[(f.depth-1)/64]>>((f.depth-1)%64)&1 == 1 }

// number takes one more character of a number, or finds that it is behind it (more is false), or that it is none (not ok).
func (f *finder) number(c byte) (ok, more bool) {
	digit := c >= '0' && c <= '9'
	next := f.state
	switch f.state {
	case inNumber:
		if next = inInteger; c == '0' {
			next = inZero
		}
		ok = digit
	case inZero, inInteger:
		switch {
		case digit:
			if f.state == inZero {
				return false, false
			}
		case c == '.':
			next = inPoint
		case c == 'e' || c == 'E':
			next = inExponent
		default:
			return true, false
		}
		ok = true
	case inPoint:
		next, ok = inFraction, digit
	case inFraction:
		switch {
		case digit:
		case c == 'e' || c == 'E':
			next = inExponent
		default:
			return true, false
		}
		ok = true
	case inExponent:
		if next = inExponentDigits; c == '+' || c == '-' {
			next, ok = inExponentSign, true
		}
		ok = ok || digit
	case inExponentSign:
		next, ok = inExponentDigits, digit
	case inExponentDigits:
		if !digit {
			return true, false
		}
		ok = true
	}
	f.state = next
	return ok, true
}

// literal answers the word that begins with a letter.
func literal(c byte) string {
	switch c {
	case 't':
		return "true"
	case 'f':
		return "false"
	case 'n':
		return "null"
	}
	return ""
}
