package hpack

import (
	"cmp"
	"slices"
)

// short gives, for the next eight bits, the octet whose code begins there, if that has at most eight bits; then its
// length in bits is above it. 0: the code is longer.
var short [256]uint16

// long has the codes of more than eight bits, by length: all codes of one length follow one another, and come behind
// those of lesser length, so that one comparison finds out whether a code is that long.
var long []codeRange

type codeRange struct {
	len     uint8
	beyond  uint32 // the first value of 32 bits that begins with none of these codes, nor with a shorter one
	first   uint32 // the first code, right-aligned
	octets  []byte
	aligned uint32 // the first code, left-aligned
}

func init() {
	order := make([]int, 256)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(codes[a].len, codes[b].len), cmp.Compare(codes[a].bits, codes[b].bits))
	})
	for _, octet := range order {
		c := codes[octet]
		if c.len <= 8 {
			for i := range 1 << (8 - c.len) {
				short[int(c.bits)<<(8-c.len)|i] = uint16(c.len)<<8 | uint16(octet)
			}
			continue
		}
		if n := len(long); n == 0 || long[n-1].len != c.len {
			long = append(long, codeRange{len: c.len, first: c.bits, aligned: c.bits << (32 - c.len)})
		}
		r := &long[len(long)-1]
		r.octets = append(r.octets, byte(octet))
		r.beyond = (c.bits + 1) << (32 - c.len)
	}
}

// appendDecoded appends what the Huffman code in b stands for, and reports false when it is malformed.
func appendDecoded(dst, b []byte) ([]byte, bool) {
	var acc uint64 // the next have bits, left-aligned; ones behind them at the end
	have := uint(0)
	i := 0
	for {
		for have <= 56 && i < len(b) {
			acc |= uint64(b[i]) << (56 - have)
			have += 8
			i++
		}
		// No code has more than 30 bits: while there are that many, a code is complete.
		for have >= 30 {
			e := short[acc>>56]
			n := uint(e >> 8)
			if n == 0 {
				octet, l, ok := decodeLong(uint32(acc >> 32))
				if !ok {
					return dst, false
				}
				dst = append(dst, octet)
				n = l
			} else {
				dst = append(dst, byte(e))
			}
			acc <<= n & 63
			have -= n
		}
		if i == len(b) {
			break
		}
	}
	for have > 0 {
		bits := acc | (1<<(64-have) - 1)
		e := short[bits>>56]
		octet, n := byte(e), uint(e>>8)
		if n == 0 {
			var ok bool
			if octet, n, ok = decodeLong(uint32(bits >> 32)); !ok {
				n = 30 // EOS
			}
		}
		if n > have {
			// "A padding strictly longer than 7 bits MUST be treated as a decoding error. A padding not corresponding to the
			// most significant bits of the code for the EOS symbol MUST be treated as a decoding error."
			return dst, have < 8 && bits == ^uint64(0)
		}
		dst = append(dst, octet)
		acc <<= n
		have -= n
	}
	return dst, true
}

// decodeLong finds the code of more than eight bits that w begins with, and reports false for EOS, which must not occur.
func decodeLong(w uint32) (octet byte, n uint, ok bool) {
	for i := range long {
		r := &long[i]
		if w < r.beyond {
			return r.octets[(w-r.aligned)>>(32-r.len)], uint(r.len), true
		}
	}
	return 0, 0, false
}
