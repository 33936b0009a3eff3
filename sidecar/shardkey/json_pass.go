package shardkey

import (
	"encoding/binary"
	"math/bits"
)

// pass reads on within an object or an array that the pointer does not lead into, from b[at], and answers where it ends or b does, with the
// state there. Of what is in it, only strings and brackets are looked at: that is all it takes to find its end, wherever b is cut.
func (f *finder) pass(b []byte, at int, state jsonState) (int, jsonState) {
	for at < len(b) {
		if len(b)-at >= 64 && state != passEscape {
			if n, next, ok := f.passMany((*[64]byte)(b[at:]), state); ok {
				at, state = at+n, next
				if state == wantCommaOrEnd {
					return at, state
				}
				continue
			}
		}
		for end := min(at+64, len(b)); at < end; {
			c := b[at]
			at++
			switch {
			case state == passEscape:
				state = passString
			case c == '"' && state == passString:
				state = passing
			case c == '"':
				state = passString
			case state == passString:
				if c == '\\' {
					state = passEscape
				}
			case c == '{' || c == '[':
				f.passed++
			case c == '}' || c == ']':
				if f.passed--; f.passed == 0 {
					return at, wantCommaOrEnd
				}
			}
		}
	}
	return at, state
}

// passMany is pass for 64 bytes at once: it answers how many of them belong to the value. Not ok is that there is a backslash among them.
func (f *finder) passMany(b *[64]byte, state jsonState) (n int, next jsonState, ok bool) {
	var quotes, opening, closing, escapes uint64
	for i := 0; i < 64; i += 8 {
		v := binary.LittleEndian.Uint64(b[i:])
		ascii := tops &^ v
		v &^= tops
		folded := v | ' '*ones // makes {} of [], and of nothing else
		quotes = quotes>>8 | gather(zeroes(v^'"'*ones)&ascii)
		opening = opening>>8 | gather(zeroes(folded^'{'*ones)&ascii)
		closing = closing>>8 | gather(zeroes(folded^'}'*ones)&ascii)
		escapes |= zeroes(v^'\\'*ones) & ascii
	}
	if escapes != 0 {
		return 0, state, false
	}
	// A byte is within a string if the quotation marks up to it are odd in number.
	within := quotes ^ quotes<<1
	within ^= within << 2
	within ^= within << 4
	within ^= within << 8
	within ^= within << 16
	within ^= within << 32
	if state == passString {
		within = ^within
	}
	opening, closing = opening&^within, closing&^within
	if closed := bits.OnesCount64(closing); closed >= f.passed {
		for before, rest := 0, closing; rest != 0; before, rest = before+1, rest&(rest-1) {
			at := bits.TrailingZeros64(rest)
			if f.passed+bits.OnesCount64(opening&(1<<at-1)) == before+1 {
				f.passed = 0
				return at + 1, wantCommaOrEnd, true
			}
		}
	}
	f.passed += bits.OnesCount64(opening) - bits.OnesCount64(closing)
	if within>>63 == 1 {
		return 64, passString, true
	}
	return 64, passing, true
}

const ones, tops = 0x0101010101010101, 0x8080808080808080

// zeroes sets the upper bit of each byte of v that is zero, and of no other. v has no upper bits.
func zeroes(v uint64) uint64 { return tops - v }

// gather answers the upper bits of the eight bytes of v, which has no others, as the upper byte.
func gather(v uint64) uint64 { return v >> 7 * 0x0102040810204080 &^ (1<<56 - 1) }
