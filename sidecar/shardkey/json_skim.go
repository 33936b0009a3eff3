package shardkey

import (
	"encoding/binary"
	"math/bits"
)

// skim reads on while nothing that comes is what the pointer leads to, token by token and not byte by byte. It stops in front of
// a token that it does not know or that is not all there, and of the end of the container that the pointer has led to: what to
// make of those find knows. A container is open.
func (f *finder) skim(b []byte, p *part) {
	pos, state, depth, array, path := f.pos, f.state, f.depth, f.inArray(), f.steps+1
tokens:
	for !f.hit && pos < len(b) {
		c := b[pos]
		if space(c) {
			pos++
			continue
		}
		end, closed := pos+1, false
		switch state {
		case wantName, wantNameOrEnd:
			if c == '}' && state == wantNameOrEnd {
				closed = true
				break
			}
			if c != '"' {
				break tokens
			}
			if end = stringEnd(b, end); end == len(b) || b[end] != '"' {
				break tokens
			}
			if depth == path {
				f.hit = string(b[pos+1:end]) == p.steps[f.steps]
			}
			end++
			state = wantColon
			if end < len(b) && b[end] == ':' {
				end++
				state = wantValue
			}
		case wantColon:
			if c != ':' {
				break tokens
			}
			state = wantValue
		case wantCommaOrEnd:
			switch {
			case c == ',' && array:
				state = wantValue
				if depth == path {
					f.index++
					f.hit = f.index == p.indexes[f.steps]
				}
			case c == ',':
				state = wantName
			case c == ']' && array, c == '}' && !array:
				closed = true
			default:
				break tokens
			}
		default: // wantValue, wantValueOrEnd
			switch {
			case c == '{' || c == '[':
				if depth == maxDepth {
					break tokens
				}
				array = c == '['
				state = wantNameOrEnd
				if f.arrays[depth/64] &^= 1 << (depth % 64); array {
					f.arrays[depth/64] |= 1 << (depth % 64)
					state = wantValueOrEnd
				}
				depth++
			case c == ']' && state == wantValueOrEnd:
				closed = true
			default:
				if end = scalarEnd(b, pos); end < 0 {
					break tokens
				}
				state = wantCommaOrEnd
				if !array && end < len(b) && b[end] == ',' {
					end++
					state = wantName
				}
			}
		}
		if closed {
			if depth == path {
				break tokens
			}
			depth--
			array = f.arrays[(depth-1)/64]>>((depth-1)%64)&1 == 1
			state = wantCommaOrEnd
		}
		pos = end
	}
	f.pos, f.state, f.depth = pos, state, depth
}

// scalarEnd answers where the string, number or literal that begins at b[at] ends; -1 where that cannot be said at a glance: where it may
// go on behind b, has an escape or an exponent, or is none.
func scalarEnd(b []byte, at int) int {
	switch c := b[at]; {
	case c == '"':
		if end := stringEnd(b, at+1); end < len(b) && b[end] == '"' {
			return end + 1
		}
		return -1
	case c == '-' || c >= '0' && c <= '9':
		return numberEnd(b, at)
	default:
		word := literal(c)
		if end := at + len(word); word != "" && end <= len(b) && string(b[at:end]) == word {
			return end
		}
		return -1
	}
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
	const ones, tops = 0x0101010101010101, 0x8080808080808080
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
