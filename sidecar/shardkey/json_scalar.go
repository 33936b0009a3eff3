package shardkey

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
