package h1

import (
	"encoding/binary"
	"math/bits"
)

// Classes of bytes, one bit each.
const (
	classToken = 1 << iota // tchar: RFC 9110, section 5.6.2
	classHost              // may stand in uri-host [ ":" port ]: RFC 9110, section 7.2, with RFC 3986, section 3.2.2
	classHex
)

var class = func() (t [256]uint8) {
	mark := func(bit uint8, chars string) {
		for i := range len(chars) {
			t[chars[i]] |= bit
		}
	}
	const digits, hexLetters = "0123456789", "abcdefABCDEF"
	const alnum = digits + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	mark(classToken, alnum+"!#$%&'*+-.^_`|~")
	mark(classHost, alnum+"-._~%!$&'()*+,;=:[]")
	mark(classHex, digits+hexLetters)
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if class[c]&classToken == 0 {
			return false
		}
	}
	return len(b) > 0
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain answers the offset of the first byte at or behind i that is below floor or DEL, or len(b). It looks at eight
// bytes at a time: in (x - floor*ones) &^ x a byte's high bit is set when the byte is below floor; a borrow can set
// wrong bits only above the first right one, and the first is all that is used.
func plain(b []byte, i int, floor byte) int {
	low := uint64(floor) * ones
	for i+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[i:])
		del := x ^ 0x7f*ones
		if m := ((x-low)&^x | (del-ones)&^del) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for i < len(b) && b[i] >= floor && b[i] != 0x7f {
		i++
	}
	return i
}

// equalFold compares a name or option with lower, which is lower case letters, digits and hyphens. A byte that is no
// letter and still equal after folding is CR or another control byte, which no name or option holds.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if b[i]|0x20 != lower[i] {
			return false
		}
	}
	return true
}

// trim cuts optional white space, RFC 9110 section 5.6.3, off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// element cuts the first element off a comma-separated list without quoted strings: RFC 9110, section 5.6.1.
func element(list []byte) (first, rest []byte, more bool) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:], true
		}
	}
	return trim(list), nil, false
}
