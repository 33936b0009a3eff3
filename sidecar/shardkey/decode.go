package shardkey

// appendDecoded appends a text with its percent-encoding decoded (RFC 3986, section 2.1) and, if plus says so, with + as a
// space. It reports false where a % has no two hexadecimal digits behind it.
func appendDecoded(dst, text []byte, plus bool) ([]byte, bool) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '%':
			if i+2 >= len(text) {
				return dst, false
			}
			high, ok1 := hex(text[i+1])
			low, ok2 := hex(text[i+2])
			if !ok1 || !ok2 {
				return dst, false
			}
			c = high<<4 | low
			i += 2
		case c == '+' && plus:
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst, true
}

// equalDecoded says whether a text, decoded, is another. One that cannot be decoded is no other.
func equalDecoded(text []byte, want string, plus bool) bool {
	n := 0
	for i := 0; i < len(text); i, n = i+1, n+1 {
		c := text[i]
		switch {
		case c == '%':
			if i+2 >= len(text) {
				return false
			}
			high, ok1 := hex(text[i+1])
			low, ok2 := hex(text[i+2])
			if !ok1 || !ok2 {
				return false
			}
			c = high<<4 | low
			i += 2
		case c == '+' && plus:
			c = ' '
		}
		if n >= len(want) || want[n] != c {
			return false
		}
	}
	return n == len(want)
}

func hex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
