package shardkey

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKeysInJSON(t *testing.T) {
	var x Extraction
	for _, c := range []struct {
		what, pointer, body string
		want                string
	}{
		{"a string", "/id", `{"id":"a b"}`, "a b"},
		{"an integer", "/id", `{"id":42}`, "42"},
		{"a string of digits is that integer", "/id", `{"id":"42"}`, "42"},
		{"a string with a zero before them is not", "/id", `{"id":"042"}`, "042"},
		{"a truth value", "/id", `{"id": true }`, "true"},
		{"below an object", "/account/id", ` { "x" : [1,{"id":1}] , "account":{"name":"n","id":7}}`, "7"},
		{"in an array", "/ids/1", `{"ids":[1,"b",3]}`, "b"},
		{"below an array", "/1/id", `[{"id":1},{"id":2}]`, "2"},
		{"a name of digits", "/1", `{"0":"a","1":"b"}`, "b"},
		{"the same name deeper does not count", "/id", `{"a":{"id":1},"b":[{"id":2}],"id":3}`, "3"},
		{"the first of a name counts", "/id", `{"id":1,"id":2}`, "1"},
		{"nothing behind it is read", "/id", `{"id":1,]]]`, "1"},
		{"a name with escapes", "/a~1b~0c", `{"a\/b~\u0063":1}`, "1"},
		{"an empty name", "/", `{"":1}`, "1"},
		{"a string with escapes", "/id", `{"id":"\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00"}`, "\"\\/\b\f\n\r\tä😀"},
		{"half a surrogate pair", "/id", `{"id":"\ud83dx\ude00\ud83d\u0041"}`, "\ufffdx\ufffd\ufffdA"},
		{"a backslash at a name's end", "/a\\", `{"a\\":1}`, "1"},

		{"not there", "/id", `{"ID":1}`, "<absent>"},
		{"an index that is not there", "/ids/3", `{"ids":[1,2,3]}`, "<absent>"},
		{"an index of an object", "/a/0", `{"a":{"b":1}}`, "<absent>"},
		{"a name of an array", "/a/b", `{"a":[1]}`, "<absent>"},
		{"an index with a zero before it", "/a/00", `{"a":[1]}`, "<absent>"},
		{"the element behind the last", "/a/-", `{"a":[1]}`, "<absent>"},
		{"null", "/id", `{"id":null}`, "<absent>"},
		{"an empty string", "/id", `{"id":""}`, "<absent>"},
		{"below a string", "/id/x", `{"id":"x"}`, "<absent>"},
		{"below null", "/id/x", `{"id":null}`, "<absent>"},
		{"no object at all", "/id", `7`, "<absent>"},
		{"nothing", "/id", ``, "<absent>"},
		{"white space", "/id", " \r\n\t", "<absent>"},
		{"an empty object", "/id", `{}`, "<absent>"},
		{"an empty array", "/0", `[]`, "<absent>"},

		{"an object", "/id", `{"id":{}}`, "<bad>"},
		{"an array", "/id", `{"id":[]}`, "<bad>"},
		{"no JSON", "/id", `id=7`, "<bad>"},
		{"a byte order mark", "/id", "\ufeff{\"id\":7}", "<bad>"},
		{"a comma too many", "/id", `{"a":1,}`, "<bad>"},
		{"a comma too many in an array", "/0/x", `[[1,]]`, "<bad>"},
		{"a comma missing", "/id", `{"a":1 "id":2}`, "<bad>"},
		{"a colon missing", "/id", `{"a" 1}`, "<bad>"},
		{"closed by the other bracket", "/id", `{"a":[1}`, "<bad>"},
		{"a number with a zero before it", "/id", `{"a":01}`, "<bad>"},
		{"a number without digits", "/id", `{"a":-}`, "<bad>"},
		{"a number that ends in a point", "/id", `{"a":1.}`, "<bad>"},
		{"a number that ends in an e", "/id", `{"a":1e}`, "<bad>"},
		{"a number with a plus sign", "/id", `{"a":+1}`, "<bad>"},
		{"a literal that is none", "/id", `{"a":nul}`, "<bad>"},
		{"an escape that is none", "/id", `{"a":"\x"}`, "<bad>"},
		{"a short escape", "/id", `{"a":"\u12"}`, "<bad>"},
		{"a line end in a string", "/id", "{\"a\":\"\n\"}", "<bad>"},
		{"an end in between", "/id", `{"a":1,"id":`, "<bad>"},
		{"an end within the value", "/id", `{"id":4`, "<bad>"},
		{"nested deep", "/id", `{"a":` + strings.Repeat("[", 6000) + strings.Repeat("]", 6000) + `,"id":7}`, "7"},
		{"nested and not closed", "/id", `{"a":` + strings.Repeat("[", 600), "<bad>"},
		{"something odd in what is passed", "/id", `{"a":[1 2}},"id":7}`, "<absent>"},
		{"something odd in what is passed that ends", "/id", `{"a":[1 2,},"id":7}`, "7"},
	} {
		s := mustParse(t, "json:"+c.pointer, "")
		if got := keyOf(&x, s, &head{}, c.body); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.what, c.body, got, c.want)
		}
		if got := piecewise(&x, s, &head{}, []byte(c.body), 1); got != c.want {
			t.Errorf("%s, byte by byte: %s is %q, want %q", c.what, c.body, got, c.want)
		}
	}
}

// piecewise gives the body n bytes at a time, in memory of its own each time.
func piecewise(x *Extraction, s *Spec, h *head, body []byte, n int) string {
	o := x.Begin(s, h)
	for end := n; o == NeedMore && end < len(body); end += n {
		o = x.Body(bytes.Clone(body[:end]), false)
	}
	if o == NeedMore {
		o = x.Body(body, true)
	}
	if o != Found {
		return "<" + o.String() + ">"
	}
	return string(x.Key().Text)
}

func TestNumbersHaveOneText(t *testing.T) {
	for raw, want := range map[string]string{
		"0": "0", "-0": "0", "0.0": "0", "0e5": "0", "-0.00e-9": "0",
		"42": "42", "42.0": "42", "4.2e1": "42", "420e-1": "42", "0.42E+2": "42", "-42.00": "-42",
		"9007199254740993": "9007199254740993", "18446744073709551615": "18446744073709551615",
		"100": "100", "1e2": "100", "1e40": "1" + strings.Repeat("0", 40), "1e41": "1e41", "10e40": "1e41",
		"0.5": "0.5", "5e-1": "0.5", ".5"[1:] + "0e-2": "0.5", "48.2082": "48.2082", "482082e-4": "48.2082", "-1.50": "-1.5",
		"0.0001": "0.0001", "1e-41": "0." + strings.Repeat("0", 40) + "1", "1e-42": "1e-42", "12e-3": "0.012", "-123e-3": "-0.123",
		"1e999999999999999999": "1e1000000000", "1e-999999999999999999": "1e-1000000000",
	} {
		if got := string(appendNumber([]byte("x"), []byte(raw))); got != "x"+want {
			t.Errorf("%s is %s, want %s", raw, got[1:], want)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-1.5e3", "1e-41", "100", "12.50", "0.0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !json.Valid([]byte(raw)) || len(raw) > 200 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
			return
		}
		text := string(appendNumber(nil, []byte(strings.TrimRight(raw, " \t\r\n"))))
		if again := string(appendNumber(nil, []byte(text))); again != text || !json.Valid([]byte(text)) {
			t.Fatalf("%s is %s, and that is %s", raw, text, again)
		}
		if i := strings.IndexAny(raw, "eE"); i >= 0 && len(raw)-i > 5 {
			return // big.Rat would write the zeros out
		}
		a, ok1 := new(big.Rat).SetString(strings.TrimSpace(raw))
		b, ok2 := new(big.Rat).SetString(text)
		if !ok1 || !ok2 || a.Cmp(b) != 0 {
			t.Errorf("%s is %s", raw, text)
		}
	})
}

// FuzzJSON compares with encoding/json on texts that are valid and have no name twice, whole and in pieces.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"account":{"id":7}}`, `{"account":[1,2,{"id":"x\u0041"}]}`, `[1,{"2":{"id":null}}]`, `{"a":"\ud83d"}`, `{"account":1e400}`} {
		f.Add([]byte(s), "/account/id", uint8(3))
		f.Add([]byte(s), "/1", uint8(1))
	}
	f.Fuzz(func(t *testing.T, body []byte, pointer string, n uint8) {
		s, err := Parse("json:"+pointer, "")
		if err != nil || len(s.parts) != 1 || len(body) > 4096 {
			return
		}
		var x Extraction
		got := keyOf(&x, s, &head{}, string(body))
		if again := piecewise(&x, s, &head{}, body, int(n)+1); again != got {
			t.Fatalf("%s of %s: %q, and in pieces of %d %q", pointer, body, got, n+1, again)
		}
		if !json.Valid(body) || !utf8.Valid(body) {
			return
		}
		if want, ok := naivePointer(body, s.parts[0].steps); ok && got != want {
			t.Errorf("%s of %s: %q, want %q", pointer, body, got, want)
		}
	})
}

// naivePointer reads all of the JSON, and then follows the pointer. It reports false for texts it is no judge of: a name
// twice, or nested deep.
func naivePointer(body []byte, steps []string) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	v, ok := decodeOnce(d, 0)
	if !ok {
		return "", false
	}
	for _, step := range steps {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
			if _, there := at[step]; !there {
				return "<absent>", true
			}
		case []any:
			i := -1
			if _, err := fmt.Sscanf(step, "%d", &i); err != nil || fmt.Sprint(i) != step || i < 0 || i >= len(at) {
				return "<absent>", true
			}
			v = at[i]
		default:
			return "<absent>", true
		}
	}
	switch at := v.(type) {
	case string:
		if at == "" {
			return "<absent>", true
		}
		return at, true
	case json.Number:
		return string(appendNumber(nil, []byte(at))), true // compared with math/big above
	case bool:
		return fmt.Sprint(at), true
	case nil:
		return "<absent>", true
	}
	return "<bad>", true
}

func decodeOnce(d *json.Decoder, depth int) (any, bool) {
	d.UseNumber()
	token, err := d.Token()
	if err != nil || depth > 500 {
		return nil, false
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, false
			}
			if _, dup := object[name.(string)]; dup {
				return nil, false
			}
			v, ok := decodeOnce(d, depth+1)
			if !ok {
				return nil, false
			}
			object[name.(string)] = v
		}
		_, err = d.Token()
		return object, err == nil
	case json.Delim('['):
		array := []any{}
		for d.More() {
			v, ok := decodeOnce(d, depth+1)
			if !ok {
				return nil, false
			}
			array = append(array, v)
		}
		_, err = d.Token()
		return array, err == nil
	}
	return token, true
}

func zip(body string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(body))
	z.Close()
	return b.Bytes()
}

func TestBodiesThatAreLargeOrEncoded(t *testing.T) {
	var x Extraction
	long := func(n int) string { return `{"pad":"` + strings.Repeat("x", n) + `","id":7}` }
	gz := head{lines: []string{"Content-Encoding: gzip"}}
	for _, c := range []struct {
		what string
		head head
		body []byte
		want string
	}{
		{"a key at the end of what may be read", head{}, []byte(long(MaxBody - 20)), "7"},
		{"a key beyond it", head{}, []byte(long(MaxBody)), "<too-large>"},
		{"a key at the front of a body that is longer", head{}, []byte(`{"id":7,"pad":"` + strings.Repeat("x", 2*MaxBody)), "7"},
		{"gzip", gz, zip(`{"a":[1,2,3],"id":7}`), "7"},
		{"by its old name", head{lines: []string{"content-encoding: X-GZIP"}}, zip(`{"id":7}`), "7"},
		{"gzip that is long only when it is inflated", gz, zip(long(10 * MaxBody)), "<too-large>"},
		{"with the key at the front", gz, zip(`{"id":7,"pad":"` + strings.Repeat("x", 100*MaxBody)), "7"},
		{"gzip of nothing", gz, zip(""), "<absent>"},
		{"no gzip", gz, []byte(`{"id":7}`), "<bad>"},
		{"gzip that breaks off", gz, zip(`{"a":[1,2,3],"id":7}`)[:20], "<bad>"},
		{"no body, whatever its encoding", head{lines: []string{"content-encoding: br"}}, nil, "<absent>"},
		{"an encoding that is not read", head{lines: []string{"content-encoding: br"}}, []byte("x"), "<unreadable>"},
		{"two encodings", head{lines: []string{"content-encoding: gzip, gzip"}}, []byte("x"), "<unreadable>"},
		{"two encodings in two lines", head{lines: []string{"content-encoding: gzip", "content-encoding: gzip"}}, []byte("x"), "<unreadable>"},
		{"no encoding, in so many words", head{lines: []string{"content-encoding: Identity"}}, []byte(`{"id":7}`), "7"},
	} {
		s := mustParse(t, "json:/id", "")
		if got := keyOf(&x, s, &c.head, string(c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
		for _, n := range []int{1000, 7} {
			if n == 7 && len(c.body) > 2000 {
				continue
			}
			if got := piecewise(&x, s, &c.head, c.body, n); got != c.want {
				t.Errorf("%s, %d bytes at a time: %q, want %q", c.what, n, got, c.want)
			}
		}
	}
}

func TestAKeyOfHeadAndBody(t *testing.T) {
	var x Extraction
	s := mustParse(t, "json:/lat,header:tenant,json:/lng", "")
	h := &head{lines: []string{"tenant: acme"}}
	if got := keyOf(&x, s, h, `{"lng":16.37380,"lat":48.2082}`); got != "48.2082,acme,16.3738" {
		t.Errorf("%q", got)
	}
	if got := piecewise(&x, s, h, []byte(`{"lng":16.37380,"lat":48.2082}`), 1); got != "48.2082,acme,16.3738" {
		t.Errorf("byte by byte: %q", got)
	}
	if o := x.Begin(s, &head{}); o != Absent || x.Place() != "header:tenant" {
		t.Errorf("without the header: %v at %s", o, x.Place())
	}
	if got := keyOf(&x, s, h, `{"lat":48.2082}`); got != "<absent>" || x.Place() != "json:/lng" {
		t.Errorf("without a longitude: %q at %s", got, x.Place())
	}
	if o := x.Body(nil, true); o != Absent {
		t.Errorf("asked again: %v", o)
	}
}

func BenchmarkJSON(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s, h := mustParse(b, "json:/account/id", ""), &fixed{}
			var body bytes.Buffer
			body.WriteString(`{"items":[`)
			for body.Len() < size-60 {
				body.WriteString(`{"sku":"A-1017","count":3,"price":12.5},`)
			}
			body.WriteString(`0],"account":{"id":"4711"}}`)
			var x Extraction
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				x.Begin(s, h)
				if x.Body(body.Bytes(), true) != Found {
					b.Fatal(x.state)
				}
			}
		})
	}
}

func BenchmarkHead(b *testing.B) {
	for _, key := range []string{"header:a", "cookie:sid", "query:id", "path:/accounts/{key}", "source-ip", "header:a,path:/accounts/{key}"} {
		b.Run(key, func(b *testing.B) {
			s, h := mustParse(b, key, ""), &fixed{}
			var x Extraction
			b.ReportAllocs()
			for b.Loop() {
				if x.Begin(s, h) != Found {
					b.Fatal(x.state)
				}
			}
		})
	}
}
