package shardkey

// structure takes a character between values. NeedMore means to go on.
func (f *finder) structure(c byte, p *part) Outcome {
	switch f.state {
	case wantNameOrEnd, wantName:
		switch {
		case c == '"':
			f.state, f.begin, f.escaped, f.isName = inString, f.pos, false, true
			return NeedMore
		case c == '}' && f.state == wantNameOrEnd:
			return Absent // where the pointer has led to there is no such value
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
		case c == ',' && f.array:
			f.state = wantValue
			f.index++
			f.hit = f.index == p.indexes[f.steps]
			return NeedMore
		case c == ',':
			f.state = wantName
			return NeedMore
		case c == ']' && f.array, c == '}' && !f.array:
			return Absent // where the pointer has led to there is no such value
		}
		return Bad
	}
	if c == ']' && f.state == wantValueOrEnd {
		return Absent // where the pointer has led to there is no such value
	}
	return f.value(c, p)
}

// value takes a value's first character.
func (f *finder) value(c byte, p *part) Outcome {
	if c == '{' || c == '[' {
		if f.opened && !f.hit {
			f.state, f.passed = passing, 1
			return NeedMore
		}
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
	if !f.opened || f.hit && f.steps+1 < len(p.steps) {
		return Absent // the pointer goes on below a value that has nothing below it
	}
	return NeedMore
}

// open begins an object or an array that the pointer leads into.
func (f *finder) open(array bool, p *part) Outcome {
	if f.opened {
		if f.steps++; f.steps == len(p.steps) {
			return Bad // no object or array is a key
		}
	}
	f.opened, f.array, f.hit = true, array, false
	f.state = wantNameOrEnd
	if array {
		f.state = wantValueOrEnd
		f.index, f.hit = 0, p.indexes[f.steps] == 0
	}
	return NeedMore
}

// name takes a member's name, in its quotation marks.
func (f *finder) name(quoted []byte, p *part) {
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
