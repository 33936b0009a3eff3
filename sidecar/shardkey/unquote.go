package shardkey

import (
	"unicode/utf16"
	"unicode/utf8"
)

// appendScalar appends the text of a JSON value that finder found. A string is its text, without its escapes; a number is
// its canonical text, so that 42, 42.0 and "42" are one key; true and false are those words.
func appendScalar(dst, value []byte) []byte {
	switch c := value[0]; {
	case c == '"':
		return appendUnquoted(dst, value[1:len(value)-1])
	case c == 't' || c == 'f':
		return append(dst, value...)
	}
	return appendNumber(dst, value)
}

// appendUnquoted appends a valid JSON string's text, given what is between its quotation marks. Half a surrogate pair is
// U+FFFD, as encoding/json has it; bytes that are not UTF-8 stay as they are.
func appendUnquoted(dst, inner []byte) []byte {
	for len(inner) > 0 {
		var r rune
		var escape bool
		r, inner, escape = next(inner)
		if escape {
			dst = utf8.AppendRune(dst, r)
		} else {
			dst = append(dst, byte(r))
		}
	}
	return dst
}

// equalUnquoted says whether the text of a valid JSON string is another.
func equalUnquoted(inner []byte, want string) bool {
	for len(inner) > 0 {
		var r rune
		var escape bool
		r, inner, escape = next(inner)
		var one [utf8.UTFMax]byte
		n := 1
		if one[0] = byte(r); escape {
			n = utf8.EncodeRune(one[:], r)
		}
		if len(want) < n || want[:n] != string(one[:n]) {
			return false
		}
		want = want[n:]
	}
	return want == ""
}

// next takes an escape off the front of a valid JSON string, and answers its character; or a byte, as it is.
func next(inner []byte) (r rune, rest []byte, escape bool) {
	if inner[0] != '\\' {
		return rune(inner[0]), inner[1:], false
	}
	switch c := inner[1]; c {
	case 'b':
		return '\b', inner[2:], true
	case 'f':
		return '\f', inner[2:], true
	case 'n':
		return '\n', inner[2:], true
	case 'r':
		return '\r', inner[2:], true
	case 't':
		return '\t', inner[2:], true
	case 'u':
		r, rest = hex4(inner[2:]), inner[6:]
		if utf16.IsSurrogate(r) {
			if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
				if both := utf16.DecodeRune(r, hex4(rest[2:])); both != utf8.RuneError {
					return both, rest[6:], true
				}
			}
			return utf8.RuneError, rest, true
		}
		return r, rest, true
	default:
		return rune(c), inner[2:], true
	}
}

func hex4(digits []byte) (r rune) {
	for _, c := range digits[:4] {
		d, _ := hex(c)
		r = r<<4 | rune(d)
	}
	return r
}
