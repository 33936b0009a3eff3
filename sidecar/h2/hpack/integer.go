package hpack

// appendInteger appends n behind the bits of first that an N bit prefix leaves free; mask is 1<<N - 1. RFC 7541, section 5.1.
func appendInteger(dst []byte, first byte, mask, n uint32) []byte {
	if n < mask {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(mask))
	for n -= mask; n >= 0x80; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}
