package shardkey

import (
	"slices"
	"strconv"
)

// maxZeros is how many zeros, before or behind a number's other digits, are written out.
const maxZeros = 40

// appendNumber appends the canonical text of a JSON number: numbers that are equal have one text, however they were written,
// and no precision is lost on the way. So 1e3 and 1000.0 are "1000", -0 is "0", 0.150 is "0.15", and an identifier of 64 bits
// stays what it is. Only what would take more than maxZeros zeros has an exponent: 1e99.
func appendNumber(dst, raw []byte) []byte {
	negative := raw[0] == '-'
	if negative {
		raw = raw[1:]
	}
	// The mantissa's digits are in raw[:end] with perhaps a point among them.
	end, point := 0, -1
	for end < len(raw) && raw[end] != 'e' && raw[end] != 'E' {
		if raw[end] == '.' {
			point = end
		}
		end++
	}
	exponent := int64(0)
	if end < len(raw) {
		exponent = parseExponent(raw[end+1:])
	}
	if point >= 0 {
		exponent -= int64(end - point - 1)
	}

	from := len(dst)
	if negative {
		dst = append(dst, '-')
	}
	first := len(dst)
	for i, c := range raw[:end] {
		if i != point && (c != '0' || len(dst) > first) {
			dst = append(dst, c)
		}
	}
	for len(dst) > first && dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
		exponent++
	}
	digits := int64(len(dst) - first)
	exponent = max(-maxExponent, min(exponent, maxExponent))
	switch {
	case digits == 0:
		return append(dst[:from], '0')
	case exponent >= 0 && exponent <= maxZeros:
		return append(dst, zeros[:exponent]...)
	case exponent < 0 && -exponent < digits:
		return slices.Insert(dst, len(dst)+int(exponent), '.')
	case exponent < 0 && -exponent-digits <= maxZeros:
		dst = append(dst, zeros[:2-exponent-digits]...)
		copy(dst[len(dst)-int(digits):], dst[first:first+int(digits)])
		copy(dst[first:], zeros[:2-exponent-digits])
		dst[first+1] = '.'
		return dst
	}
	return strconv.AppendInt(append(dst, 'e'), exponent, 10)
}

const zeros = "000000000000000000000000000000000000000000" // maxZeros and two

// maxExponent is where exponents end: numbers beyond differ in nothing that matters.
const maxExponent = 1_000_000_000

// parseExponent reads an exponent. It stays above maxExponent where the text is, but does not overflow.
func parseExponent(text []byte) int64 {
	negative := text[0] == '-'
	if text[0] == '-' || text[0] == '+' {
		text = text[1:]
	}
	n := int64(0)
	for _, c := range text {
		n = min(n*10+int64(c-'0'), 2*maxExponent)
	}
	if negative {
		return -n
	}
	return n
}
