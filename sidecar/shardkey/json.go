package shardkey

// finder looks for one value in a JSON text that comes piece by piece. It reads each byte once and stops at the value. It checks (RFC 8259)
// the objects and arrays that the pointer leads through, as far as it reads them; of those it passes it looks for the end only, and
// what comes behind the value nobody looks at. Of members with the same name the first counts, which is the only rule that allows
// to stop. The zero value is ready.
type finder struct {
	pos     int // bytes read
	state   jsonState
	begin   int  // of the string, number or literal that is being read
	escaped bool // there is a backslash in the string
	passed  int  // objects and arrays that are open within a value that the pointer does not lead into
	digits  int  // hexadecimal ones still to come of an escape; or letters read of a literal
	isName  bool // the string is a member's name

	// opened says that a container is: the one that the first steps of the pointer have led to, the only one in which the next may be found.
	opened bool
	array  bool // it is an array
	steps  int
	index  int  // of the next element, if it is an array
	hit    bool // the next value is what that step leads to
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
	// passing and those behind it are the places within a value that the pointer does not lead into.
	passing
	passString
	passEscape
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
		case passing, passString, passEscape:
			end, state := f.pass(b, f.pos, f.state)
			f.pos, f.state = end-1, state
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
			if f.opened && !f.hit {
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
	case !f.opened && f.state == wantValue:
		return Absent // an empty body
	}
	return Bad
}
