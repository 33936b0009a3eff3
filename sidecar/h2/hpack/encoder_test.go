package hpack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

func encode(e *Encoder, l []Field) []byte {
	b := e.Begin(nil)
	for _, f := range l {
		b = e.Append(b, f)
	}
	return b
}

func TestStaticTableIsTheStandards(t *testing.T) {
	d := xhpack.NewDecoder(0, nil)
	for i := 1; i <= staticEntries; i++ {
		want, err := d.DecodeFull([]byte{0x80 | byte(i)})
		if err != nil || static[i] != want[0] {
			t.Errorf("entry %d is %v, want %v", i, static[i], want)
		}
		if got := encode(new(Encoder), want); !slices.Equal(got, []byte{0x80 | byte(i)}) {
			t.Errorf("%v is written as %x", want, got)
		}
		if n := int(staticNames[want[0].Name]); static[n].Name != want[0].Name || n > i {
			t.Errorf("the name %q is entry %d", want[0].Name, n)
		}
	}
}

func TestHuffmanCodesAreTheStandards(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 600 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.UintN(256))
			if n%2 == 0 {
				b[i] = "abcdefghi 0123456789-/.:\xff"[r.IntN(25)]
			}
		}
		got := appendString([]byte("x"), string(b))[1:]
		want := []byte{}
		if h := xhpack.HuffmanEncodeLength(string(b)); h < uint64(n) {
			want = xhpack.AppendHuffmanString(appendInteger(want, 0x80, 0x7f, uint32(h)), string(b))
		} else {
			want = append(appendInteger(want, 0, 0x7f, uint32(n)), b...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q is written as %x, want %x", b, got, want)
		}
	}
}

// RFC 7541, appendix C.4: a client's first three requests.
func TestRequestsAreWrittenAsInTheStandardsExample(t *testing.T) {
	var e Encoder
	for _, c := range []struct {
		fields []Field
		want   string
	}{
		{pairs(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com"), "828684418cf1e3c2e5f23a6ba0ab90f4ff"},
		{pairs(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com", "cache-control", "no-cache"),
			"828684be5886a8eb10649cbf"},
		{pairs(":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com", "custom-key", "custom-value"),
			"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"},
	} {
		if got := fmt.Sprintf("%x", encode(&e, c.fields)); got != c.want {
			t.Errorf("%v is written as %s, want %s", c.fields, got, c.want)
		}
	}
}

func TestSensitiveFieldsAreNeverIndexed(t *testing.T) {
	var e Encoder
	for range 3 {
		b := encode(&e, []Field{{Name: ":method", Value: "GET", Sensitive: true}, {Name: "\x01", Value: "\x02", Sensitive: true}})
		// The first's name from the static table; nothing refers to a value in a table.
		if got, want := fmt.Sprintf("%x", b), "12"+"03474554"+"10"+"0101"+"0102"; got != want {
			t.Errorf("written as %s, want %s", got, want)
		}
	}
	if e.index.count != 0 {
		t.Errorf("%d entries in the table", e.index.count)
	}
}

func TestValuesThatRepeatEndUpInTheTable(t *testing.T) {
	var e Encoder
	for i := range 40 {
		l := pairs("x-stable", "the same each time", "x-unique", fmt.Sprintf("never twice %d", i),
			"x-ten", fmt.Sprintf("one of ten values: %d", i%10), "grpc-timeout", fmt.Sprintf("%dm", i))
		b := e.Begin(nil)
		for j, f := range l {
			before := len(b)
			b = e.Append(b, f)
			if n := len(b) - before; n > 1 && (j == 0 && i > 0 || j == 2 && i >= 30) {
				t.Errorf("%v takes %d bytes in round %d", f, n, i)
			}
		}
	}
	for i := range e.index.count {
		e := e.index.ring[int(e.index.newest-i)%len(e.index.ring)]
		if strings.HasSuffix(e.value, "39") {
			t.Errorf("%q is in the table", e.value)
		}
	}
}

func TestSizeUpdatesGoOutWithTheNextBlock(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits []uint32
		want   string
	}{
		{"nothing was said", nil, ""},
		{"the same again", []uint32{4096}, ""},
		{"more than we use", []uint32{65536}, ""},
		{"less", []uint32{100}, "3f45"},
		{"none", []uint32{0}, "20"},
		{"less and less", []uint32{100, 30}, "3e"},
		{"less, then more: the table is emptied on the way", []uint32{100, 200}, "203fa901"},
		{"none, then all again", []uint32{0, 4096}, "203fe11f"},
		{"more, then less", []uint32{65536, 64}, "3f21"},
	} {
		var e Encoder
		encode(&e, pairs("a", "b"))
		for _, n := range c.limits {
			e.SetLimit(n)
		}
		if got := fmt.Sprintf("%x", e.Begin(nil)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if again := e.Begin(nil); len(again) != 0 {
			t.Errorf("%s: said again: %x", c.name, again)
		}
	}
}

// randomField is one of a crowd in which some repeat often and some never.
func randomField(r *rand.Rand) Field {
	names := []string{":path", "cookie", "x-a", "x-b", "x-c", "te", "accept-encoding", ":status", "", strings.Repeat("n", 70)}
	f := Field{Name: names[r.IntN(len(names))], Sensitive: r.IntN(20) == 0}
	if r.IntN(30) == 0 {
		f.Name = fmt.Sprintf("x-%d", r.IntN(200))
	}
	switch r.IntN(8) {
	case 0:
		f.Value = fmt.Sprint(r.Uint64())
	case 1:
		f.Value = strings.Repeat("v", r.IntN(300))
	case 2:
		f.Value = strings.Repeat("\xf0\x01", r.IntN(3000))
	case 3:
	default:
		f.Value = fmt.Sprintf("value %d", zipf(r, 100))
	}
	return f
}

func TestStockDecoderReadsWhatIsWrittenUnderAnyTableSize(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		var e Encoder
		if seed%2 == 1 {
			e.init()
			e.index.newest = 0xffff - uint16(seed) // numbers wrap soon
		}
		d := xhpack.NewDecoder(4096, nil)
		own := NewDecoder(4096)
		sizes := []uint32{0, 1, 33, 64, 100, 500, 1000, 4095, 4096, 4097, 65536, 1 << 31}
		for i := range 300 {
			for r.IntN(10) == 0 {
				n := sizes[r.IntN(len(sizes))]
				e.SetLimit(n)
				d.SetAllowedMaxDynamicTableSize(n)
				own.allowed = int(n)
			}
			var l []Field
			for range r.IntN(12) {
				l = append(l, randomField(r))
			}
			b := encode(&e, l)
			got, err := d.DecodeFull(b)
			if err != nil || !slices.Equal(got, l) {
				t.Fatalf("seed %d, block %d of %d fields: %v, or other fields", seed, i, len(l), err)
			}
			got, _, err = own.Decode(nil, b, 1<<30)
			if err != nil || !slices.Equal(got, l) {
				t.Fatalf("seed %d, block %d of %d fields, own decoder: %v, or other fields", seed, i, len(l), err)
			}
			e.check(t)
		}
	}
}

// check holds the encoder's table to its invariants.
func (e *Encoder) check(t *testing.T) {
	t.Helper()
	size := 0
	for i := range e.index.count {
		n := e.index.newest - i
		f := e.index.ring[int(n)%len(e.index.ring)]
		size += cost(f.name, f.value)
	}
	if size != e.index.size || size > e.max || e.max > largestTable {
		t.Fatalf("%d bytes of %d counted as %d", size, e.max, e.index.size)
	}
}

func TestEncoderDoesNotAllocateOnceItsTableIsMade(t *testing.T) {
	var e Encoder
	b := make([]byte, 0, 4096)
	round := func() {
		for i := range 50 {
			benchRequest[7].Value = benchTimeouts[i]
			b = e.Begin(b[:0])
			for _, f := range benchRequest {
				b = e.Append(b, f)
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(10, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzEncoder(f *testing.F) {
	f.Add([]byte("\x03abc\x05value\x03abc\x05value"), uint32(100))
	f.Add([]byte("\x07:method\x03GET"), uint32(4096))
	f.Fuzz(func(t *testing.T, data []byte, limit uint32) {
		data = data[:min(len(data), 4096)]
		var e Encoder
		d := xhpack.NewDecoder(4096, nil)
		next := func() string {
			if len(data) == 0 {
				return ""
			}
			n := min(int(data[0]), len(data)-1)
			s := string(data[1 : 1+n])
			data = data[1+n:]
			return s
		}
		for round := 0; len(data) > 0; round++ {
			var l []Field
			for range 8 {
				l = append(l, Field{Name: next(), Value: next(), Sensitive: len(data)%7 == 3})
			}
			if round == 3 {
				e.SetLimit(limit)
				d.SetAllowedMaxDynamicTableSize(limit)
			}
			for range 3 {
				got, err := d.DecodeFull(encode(&e, l))
				if err != nil || !slices.Equal(got, l) {
					t.Fatalf("%v, %v, want %v", got, err, l)
				}
				e.check(t)
			}
		}
	})
}
