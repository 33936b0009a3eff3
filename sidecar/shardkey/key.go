package shardkey

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

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

// Key answers the key that requests have whose parts have these texts: trim and lower are done to them, as to those of a request;
// decode is not, for what it undoes is not there. The error says how many parts there are to be, or which of them is empty.
func (s *Spec) Key(parts ...string) (Key, error) {
	if len(parts) != len(s.parts) {
		return Key{}, fmt.Errorf("a key of %s has %d parts, not %d", s.text, len(s.parts), len(parts))
	}
	texts := make([][]byte, len(parts))
	for i, text := range parts {
		b := []byte(text)
		from, to := s.normalize(b, 0)
		if from == to {
			return Key{}, fmt.Errorf("a key of %s is not empty: %s", s.text, s.parts[i].text)
		}
		texts[i] = b[from:to]
	}
	return Of(Join(nil, texts...)), nil
}

// Split takes a text as Join makes it apart: at each comma without a backslash before it. Of a key of one part the text is the part.
func (s *Spec) Split(text string) []string {
	if len(s.parts) == 1 {
		return []string{text}
	}
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			part.WriteByte(text[i])
		case text[i] == ',':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(text[i])
		}
	}
	return append(parts, part.String())
}
