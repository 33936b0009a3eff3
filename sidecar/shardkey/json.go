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
			end := stringEnd(b, f.pos)
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
			if f.depth > 0 && !f.hit {
				if f.skim(b, p); f.pos == len(b) {
					return nil, f.starved(complete)
				}
				c = b[f.pos]
			}
			if space(c) {
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
