package shardkey

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// The words of eight bytes see what a loop over bytes sees, wherever a string ends and whatever stands behind that.
func TestStringsEndWhereALoopOverBytesSaysSo(t *testing.T) {
	letters := []byte("ab\"\\\x00\x1f\x20\x7f\x80\x9f\xa2\xdc\xff\n!#[]")
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		b := make([]byte, random.IntN(40))
		for i := range b {
			if b[i] = 'x'; random.IntN(6) == 0 {
				b[i] = letters[random.IntN(len(letters))]
			}
		}
		at := random.IntN(len(b) + 1)
		want := at
		for want < len(b) && b[want] != '"' && b[want] != '\\' && b[want] >= ' ' {
			want++
		}
		if got := stringEnd(b, at); got != want {
			t.Fatalf("from %d on %q ends at %d, want %d", at, b, got, want)
		}
	}
}

// What skim reads in one go and what find reads byte by byte is the same, in texts that are JSON but for one byte.
func TestSkimmingChangesNothing(t *testing.T) {
	text := []byte(`{"a":{"b":[1,-0.5,true,{"c":null}],"\u0064":"e\\"},"list":[[],{},"f",0,12.50e3,{"account":{"id":1}}],` +
		`"account" : {"name":"x","ids":[10,20,{"id":7}],"id": "4711"}}`)
	random := rand.New(rand.NewPCG(3, 4))
	letters := []byte("{}[]\",:\\0123.eE-+tfn \n\x01x")
	var x Extraction
	for _, pointer := range []string{"/account/id", "/account/ids/2/id", "/list/5/account/id", "/list/3", "/a/b/3/c", "/a/d", "/none"} {
		s := mustParse(t, "json:"+pointer, "")
		for range 3000 {
			b := bytes.Clone(text)
			b[random.IntN(len(b))] = letters[random.IntN(len(letters))]
			whole := keyOf(&x, s, &head{}, string(b))
			for _, n := range []int{1, 5} {
				if got := piecewise(&x, s, &head{}, b, n); got != whole {
					t.Fatalf("%s of %s: %q, in pieces of %d %q", pointer, b, whole, n, got)
				}
			}
		}
	}
}

// Where a value ends that the pointer does not lead into is the same for words of eight bytes and for a loop over bytes, however it is cut.
func TestValuesEndWhereALoopOverBytesSaysSo(t *testing.T) {
	letters := []byte("{}[]\"\"\\;=\x1b\x1d\x3b\x5f\x7f\x80\xa2\xdb\xdd\xfb\xfd")
	random := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		b := make([]byte, random.IntN(300))
		often := 2 + random.IntN(60)
		for i := range b {
			if b[i] = 'x'; random.IntN(often) == 0 {
				b[i] = letters[random.IntN(len(letters))]
			}
		}
		want, depth, quoted, escaped := len(b), 2, false, false
		for i, c := range b {
			switch {
			case escaped:
				escaped = false
			case quoted && c == '\\':
				escaped = true
			case c == '"':
				quoted = !quoted
			case !quoted && (c == '{' || c == '['):
				depth++
			case !quoted && (c == '}' || c == ']'):
				depth--
			}
			if depth == 0 {
				want = i + 1
				break
			}
		}
		f := finder{passed: 2}
		at, state := 0, passing
		for cut := 0; state != wantCommaOrEnd && cut < len(b); {
			cut = min(cut+1+random.IntN(200), len(b))
			at, state = f.pass(b[:cut], at, state)
		}
		if ended := state == wantCommaOrEnd; at != want || ended != (depth == 0) {
			t.Fatalf("%q ends at %d (%v), want %d (%v)", b, at, ended, want, depth == 0)
		}
	}
}
