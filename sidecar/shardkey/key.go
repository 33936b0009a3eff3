package shardkey

import "github.com/cespare/xxhash/v2"

// Key is what a request is owned by: its text, and the hash of the text. Text is valid until the Extraction it came from
// begins anew.
type Key struct {
	// Hash is XXH64 of Text with seed 0: a function of the bytes alone, the same on every machine and in every release.
	Hash uint64
	Text []byte
}

// Of answers the key of a text, as the directory and tests are given it. Parts of a composite key go through Join first.
func Of(text []byte) Key { return Key{Hash: xxhash.Sum64(text), Text: text} }

// Join appends the text of a key of several parts to dst: the parts with commas between them, in which a comma or a backslash
// of a part has a backslash before it. So different parts never make the same text ("a,b" and "c" are not "a" and "b,c"), and
// a person can type it. A key of one part is that part as it is.
func Join(dst []byte, parts ...[]byte) []byte {
	if len(parts) == 1 {
		return append(dst, parts[0]...)
	}
	for i, p := range parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		for _, c := range p {
			if c == ',' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
	}
	return dst
}
