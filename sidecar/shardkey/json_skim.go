package shardkey

import (
	"encoding/binary"
	"math/bits"
)

// skim reads on while nothing that comes is what the pointer leads to, token by token and not byte by byte. It stops in front of
// a token that it does not know or that is not all there, and of the container's end: what to make of those find knows. A container is open.
func (f *finder) skim(b []byte, p *part) {
	pos, state := f.pos, f.state
	var c byte
tokens:
	for !f.hit {
		// The cases are in the order in which a member has them.
		switch state {
		case wantName, wantNameOrEnd:
			if c, pos = glance(b, pos); c != '"' {
				break tokens
			}
			end := stringEnd(b, pos+1)
			if end == len(b) || b[end] != '"' {
				break tokens
			}
			f.hit = string(b[pos+1:end]) == p.steps[f.steps]
			pos, state = end+1, wantColon
			fallthrough
		case wantColon:
			if c, pos = glance(b, pos); c != ':' {
				break tokens
			}
			pos, state = pos+1, wantValue
			if f.hit {
				break tokens
			}
			fallthrough
		case wantValue, wantValueOrEnd:
			switch c, pos = glance(b, pos); c {
			case '"':
				end := stringEnd(b, pos+1)
				if end == len(b) || b[end] != '"' {
					break tokens
				}
				pos, state = end+1, wantCommaOrEnd
			case '{', '[':
				f.passed = 1
				if pos, state = f.pass(b, pos+1, passing); state != wantCommaOrEnd {
					break tokens
				}
			default:
				end := wordEnd(b, pos, c)
				if end < 0 {
					break tokens
				}
				pos, state = end, wantCommaOrEnd
			}
			fallthrough
		case wantCommaOrEnd:
			if c, pos = glance(b, pos); c != ',' {
				break tokens
			}
			pos, state = pos+1, wantName
			if f.array {
				state = wantValue
				f.index++
				f.hit = f.index == p.indexes[f.steps]
			}
		default:
			break tokens
		}
	}
	f.pos, f.state = pos, state
}

// glance answers the first byte from at on that is no space, and where it is; 0 where b ends.
func glance(b []byte, at int) (byte, int) {
	for ; at < len(b); at++ {
		if c := b[at]; c > ' ' || !space(c) {
			return c, at
		}
	}
	return 0, at
}

// wordEnd answers where the number or literal that begins with b[at], which is c, ends; -1 where that cannot be said at a glance: where it may
// go on behind b, has an exponent, or is none.
func wordEnd(b []byte, at int, c byte) int {
	if c == '-' || c >= '0' && c <= '9' {
		return numberEnd(b, at)
	}
	word := literal(c)
	if end := at + len(word); word != "" && end <= len(b) && string(b[at:end]) == word {
		return end
	}
	return -1
}

func numberEnd(b []byte, at int) int {
	if b[at] == '-' {
		at++
	}
	end := digitsEnd(b, at)
	if end == at {
		return -1
	}
	if b[at] == '0' {
		end = at + 1
	}
	if end < len(b) && b[end] == '.' {
		point := end
		if end = digitsEnd(b, end+1); end == point+1 {
			return -1
		}
	}
	if end == len(b) || b[end] == 'e' || b[end] == 'E' {
		return -1
	}
	return end
}

func digitsEnd(b []byte, at int) int {
	for at < len(b) && b[at]-'0' < 10 {
		at++
	}
	return at
}

// stringEnd answers the first place from at on where a string's plain characters end: at a quotation mark, a backslash or a control
// character, or where b ends.
func stringEnd(b []byte, at int) int {
	for at+8 <= len(b) {
		// Eight at a time. Each line sets the upper bit of the bytes that stop a string; those above the first one may be wrong.
		v := binary.LittleEndian.Uint64(b[at:])
		quote, backslash := v^'"'*ones, v^'\\'*ones
		stops := (v-' '*ones)&^v | (quote-ones)&^quote | (backslash-ones)&^backslash
		if stops &= tops; stops != 0 {
			return at + bits.TrailingZeros64(stops)/8
		}
		at += 8
	}
	for at < len(b) && b[at] != '"' && b[at] != '\\' && b[at] >= ' ' {
		at++
	}
	return at
}
