package hpack

import (
	"strings"

	xhpack "golang.org/x/net/http2/hpack"
)

// code is the Huffman code of one octet: RFC 7541, appendix B.
type code struct {
	bits uint32 // right-aligned
	len  uint8  // 5 to 30
}

// codes is the code table, worked out from x/net's encoder: eight times the same octet fill whole octets.
var codes = func() (t [256]code) {
	for i := range t {
		s := strings.Repeat(string([]byte{byte(i)}), 8)
		n := xhpack.HuffmanEncodeLength(s)
		b := xhpack.AppendHuffmanString(nil, s[:4])
		first := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8
		if len(b) > 3 {
			first |= uint32(b[3])
		}
		t[i] = code{bits: first >> (32 - n), len: uint8(n)}
	}
	return t
}()

// appendString appends a string literal: RFC 7541, section 5.2. It is Huffman coded where that is shorter.
func appendString(dst []byte, s string) []byte {
	if len(s) >= 127 {
		return appendLongString(dst, s)
	}
	// One octet holds either length, so that the code can be written before its length is known.
	at := len(dst)
	dst = append(dst, byte(len(s)))
	dst = append(dst, s...)
	if n, ok := huffmanInto(dst[at+1:], s); ok {
		dst[at] = 0x80 | byte(n)
		return dst[:at+1+n]
	}
	copy(dst[at+1:], s)
	return dst
}

func appendLongString(dst []byte, s string) []byte {
	bits := 0
	for i := range len(s) {
		bits += int(codes[s[i]].len)
	}
	n := (bits + 7) / 8
	if n >= len(s) {
		return append(appendInteger(dst, 0, 0x7f, uint32(len(s))), s...)
	}
	dst = appendInteger(dst, 0x80, 0x7f, uint32(n))
	at := len(dst)
	dst = append(dst, s...)
	huffmanInto(dst[at:], s)
	return dst[:at+n]
}

// huffmanInto writes the code of s to b, which is as long as s, and reports false when s is no longer than that.
func huffmanInto(b []byte, s string) (n int, ok bool) {
	var acc uint64 // the last have bits are still to be written
	have := uint(0)
	for i := range len(s) {
		c := codes[s[i]]
		acc = acc<<(c.len&63) | uint64(c.bits)
		have += uint(c.len)
		if have >= 32 {
			have -= 32
			if n+4 > len(b) {
				return 0, false
			}
			w := uint32(acc >> (have & 63))
			b[n], b[n+1], b[n+2], b[n+3] = byte(w>>24), byte(w>>16), byte(w>>8), byte(w)
			n += 4
		}
	}
	// "The most-significant bits of the code corresponding to EOS" fill the last octet: ones.
	if pad := -have & 7; pad > 0 {
		acc = acc<<pad | (1<<pad - 1)
		have += pad
	}
	if n+int(have/8) >= len(s) {
		return 0, false
	}
	for ; have > 0; n++ {
		have -= 8
		b[n] = byte(acc >> (have & 63))
	}
	return n, true
}
