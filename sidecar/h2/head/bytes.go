package head

// Checks of eight bytes at once. below reports whether a byte of w may be less than n, n being at most 0x80: always when
// one is, and now and then when none is. What may be wrong is looked at byte by byte.
func below(w uint64, n byte) bool {
	const ones = 0x0101010101010101
	return (w-ones*uint64(n))&^w&(ones<<7) != 0
}

func word(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// validValue reports whether a value may be passed on: "A field value MUST NOT contain the zero value (ASCII NUL, 0x00),
// line feed (ASCII LF, 0x0a), or carriage return (ASCII CR, 0x0d) at any position" (RFC 9113, section 8.2.1).
func validValue(s string) bool {
	if len(s) < 8 {
		return validValueSlow(s)
	}
	for i := 0; i < len(s)-8; i += 8 {
		if below(word(s, i), 0x0e) {
			return validValueSlow(s)
		}
	}
	return !below(word(s, len(s)-8), 0x0e) || validValueSlow(s)
}

func validValueSlow(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= '\r' && (c == 0 || c == '\n' || c == '\r') {
			return false
		}
	}
	return true
}

// free reports whether s is free of bytes up to last, which is under 0x80, and of DEL: in :path and :authority they would
// let two readers see different targets.
func free(s string, last byte) bool {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if w := word(s, i); below(w, last+1) || below(w^0x7f7f7f7f7f7f7f7f, 1) {
			break
		}
	}
	for ; i < len(s); i++ {
		if s[i] <= last || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// validPath and validAuthority refuse control characters; in an authority spaces as well, which net/http takes in a path.
func validPath(s string) bool      { return s != "" && free(s, 0x1f) }
func validAuthority(s string) bool { return free(s, ' ') }

// class says what a byte may be part of.
type class uint8

const (
	nameByte   class = 1 << iota // of a regular field's name: not "0x00-0x20, 0x41-0x5a, or 0x7f-0xff", and no colon
	upper                        // a letter that makes a name malformed
	tokenByte                    // RFC 9110, section 5.6.2
	schemeByte                   // RFC 3986, section 3.1
)

var classes = func() (t [256]class) {
	for c := range 256 {
		letter := c >= 'a' && c <= 'z'
		capital := c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if c > 0x20 && c < 0x7f && c != ':' && !capital {
			t[c] |= nameByte
		}
		if capital {
			t[c] |= upper
		}
		if letter || capital || digit {
			t[c] |= tokenByte | schemeByte
		}
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] |= tokenByte
	}
	for _, c := range []byte("+-.") {
		t[c] |= schemeByte
	}
	return t
}()

func consistsOf(s string, c class) bool {
	for i := range len(s) {
		if classes[s[i]]&c == 0 {
			return false
		}
	}
	return s != ""
}

// checkName checks a regular field's name.
func checkName(s string) Reason {
	if consistsOf(s, nameByte) {
		return reasonNone
	}
	if s == "" {
		return EmptyFieldName
	}
	if consistsOf(s, nameByte|upper) {
		return UppercaseFieldName
	}
	return BadFieldName
}
