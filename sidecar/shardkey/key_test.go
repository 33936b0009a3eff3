package shardkey

import (
	"slices"
	"testing"
)

func TestKeysThatPeopleGive(t *testing.T) {
	for _, c := range []struct {
		name, spec, normalize string
		parts                 []string
		want, problem         string
	}{
		{"one part", "header:a", "", []string{"Acme, Inc"}, "Acme, Inc", ""},
		{"two parts", "header:a,json:/id", "", []string{"a,b", `c\d`}, `a\,b,c\\d`, ""},
		{"trim and lower", "header:a,query:b", "trim,lower", []string{" Acme ", "X"}, "acme,x", ""},
		{"nothing is done that the Service does not ask for", "header:a", "", []string{" Acme "}, " Acme ", ""},
		{"what a request would have decoded already", "header:a", "decode", []string{"100%"}, "100%", ""},
		{"too few", "header:a,query:b", "", []string{"x"}, "", "a key of header:a,query:b has 2 parts, not 1"},
		{"too many", "header:a", "", []string{"x", "y"}, "", "a key of header:a has 1 parts, not 2"},
		{"an empty part", "header:a,query:b", "trim", []string{"x", " "}, "", "a key of header:a,query:b is not empty: query:b"},
	} {
		s, err := Parse(c.spec, c.normalize)
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Key(c.parts...)
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		if string(k.Text) != c.want || problem != c.problem || err == nil && k.Hash != Of([]byte(c.want)).Hash {
			t.Errorf("%s: %q, %q", c.name, k.Text, problem)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add("a,b", `c\`)
	f.Add(",", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		s, err := Parse("header:a,header:b", "")
		if err != nil {
			t.Fatal(err)
		}
		joined := string(Join(nil, []byte(a), []byte(b)))
		if got := s.Split(joined); !slices.Equal(got, []string{a, b}) {
			t.Errorf("%q and %q make %q, which is taken apart as %q", a, b, joined, got)
		}
		if s, err = Parse("header:a", ""); err != nil || !slices.Equal(s.Split(joined), []string{joined}) {
			t.Errorf("a key of one part is taken apart: %q", s.Split(joined))
		}
	})
}
