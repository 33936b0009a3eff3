package hpack

import (
	"bytes"
	stdhex "encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

func unhex(t testing.TB, s string) []byte {
	b, err := stdhex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	request1 = pairs(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "www.example.com")
	request2 = append(slices.Clone(request1), pairs("cache-control", "no-cache")...)
	request3 = pairs(":method", "GET", ":scheme", "https", ":path", "/index.html", ":authority", "www.example.com", "custom-key", "custom-value")

	response1 = pairs(":status", "302", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:21 GMT",
		"location", "https://www.example.com")
	response2 = pairs(":status", "307", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:21 GMT",
		"location", "https://www.example.com")
	response3 = pairs(":status", "200", "cache-control", "private", "date", "Mon, 21 Oct 2013 20:13:22 GMT",
		"location", "https://www.example.com", "content-encoding", "gzip",
		"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
)

func TestStandardsExamplesAreRead(t *testing.T) {
	type block struct {
		hex       string
		want      []Field
		tableSize int // afterwards
	}
	for _, c := range []struct {
		name   string
		table  uint32
		blocks []block
	}{
		{"C.2.1, C.2.2, C.2.3, C.2.4: single fields", 4096, []block{
			{"400a637573746f6d2d6b65790d637573746f6d2d686561646572", pairs("custom-key", "custom-header"), 55},
			{"040c2f73616d706c652f70617468", pairs(":path", "/sample/path"), 55},
			{"100870617373776f726406736563726574", []Field{{Name: "password", Value: "secret", Sensitive: true}}, 55},
			{"82", pairs(":method", "GET"), 55},
		}},
		{"C.3: requests without Huffman coding", 4096, []block{
			{"828684410f7777772e6578616d706c652e636f6d", request1, 57},
			{"828684be58086e6f2d6361636865", request2, 110},
			{"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", request3, 164},
		}},
		{"C.4: requests with Huffman coding", 4096, []block{
			{"828684418cf1e3c2e5f23a6ba0ab90f4ff", request1, 57},
			{"828684be5886a8eb10649cbf", request2, 110},
			{"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", request3, 164},
		}},
		{"C.5: responses without Huffman coding", 256, []block{
			{"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
				"6e1768747470733a2f2f7777772e6578616d706c652e636f6d", response1, 222},
			{"4803333037c1c0bf", response2, 222},
			{"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48" +
				"514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31", response3, 215},
		}},
		{"C.6: responses with Huffman coding", 256, []block{
			{"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3", response1, 222},
			{"4883640effc1c0bf", response2, 222},
			{"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1" +
				"ab270fb5291f9587316065c003ed4ee5b1063d5007", response3, 215},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder(c.table)
			for i, b := range c.blocks {
				got, _, err := d.Decode(nil, unhex(t, b.hex), 1<<20)
				if err != nil || !slices.Equal(got, b.want) || d.table.size != b.tableSize {
					t.Errorf("block %d: %v, %v, table of %d bytes; want %v, %d bytes", i, got, err, d.table.size, b.want, b.tableSize)
				}
			}
		})
	}
}

func TestMalformedBlocksAreRefused(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"index 0", "80", errIndex},
		{"an index behind the static table while the dynamic one is empty", "be", errIndex},
		{"a name's index behind both tables", "7e0161", errIndex},
		{"an index of many octets", "ffffffff7f", errIndex},
		{"an integer that does not end", "ffffffffffffffffffffff", errInteger},
		{"an integer that the block cuts off", "ffff", errTruncated},
		{"a length beyond the block", "400161056162", errTruncated},
		{"a name without value", "400161", errTruncated},
		{"no name", "40", errTruncated},
		{"padding longer than seven bits", "000161821fff", errHuffman}, // h2spec hpack 5.2
		{"padding with zeros", "0001618148", errHuffman},
		{"EOS", "00016184ffffffff", errHuffman},
		{"a size update larger than we said", "3fe21f", errUpdate}, // h2spec hpack 6.3
		{"a size update behind a field", "8220", errLate},          // h2spec hpack 4.2
	} {
		_, _, err := NewDecoder(4096).Decode(nil, unhex(t, c.hex), 1<<20)
		if err != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestSizeUpdatesMayComeTwice(t *testing.T) {
	d := NewDecoder(4096)
	if _, _, err := d.Decode(nil, unhex(t, "400161016240016301643f113fe11fbe"), 1<<20); err != errLate {
		t.Error(err)
	}
	d = NewDecoder(4096)
	if _, _, err := d.Decode(nil, unhex(t, "4001610162"), 1<<20); err != nil {
		t.Error(err)
	}
	// Down to 64 bytes, which keeps the entry, and up again.
	got, _, err := d.Decode(nil, unhex(t, "3f213fe11fbe"), 1<<20)
	if err != nil || !slices.Equal(got, pairs("a", "b")) {
		t.Error(got, err)
	}
}

func TestFieldsBeyondTheLimitAreCountedAndEntered(t *testing.T) {
	d := NewDecoder(4096)
	l := pairs("a", "1", "b", strings.Repeat("x", 100), "c", "3")
	var b []byte
	for _, f := range l {
		b = append(b, 0x40)
		b = appendString(appendString(b, f.Name), f.Value)
	}
	got, size, err := d.Decode(nil, b, 100)
	if err != nil || size != 34+133+34 || !slices.Equal(got, l[:1]) {
		t.Errorf("%v, %d, %v", got, size, err)
	}
	got, size, err = d.Decode(got[:0], []byte{0xc0, 0xbf, 0xbe}, 1000)
	if err != nil || size != 34+133+34 || !slices.Equal(got, l) {
		t.Errorf("%v, %d, %v", got, size, err)
	}
	// As literals that are not to be entered, Huffman coded and not, they are counted in the same way.
	b = append(appendString([]byte{0x00}, "abc"), 0x81, 0x1f, 0x82)
	if got, size, err = d.Decode(nil, b, 10); err != nil || size != 36+42 || len(got) != 0 {
		t.Errorf("%v, %d, %v", got, size, err)
	}
}

func TestBombsAreBounded(t *testing.T) {
	entry := appendString(appendString([]byte{0x40}, "n"), strings.Repeat("\x01", 4000))
	for _, c := range []struct {
		name  string
		block []byte
		size  int
	}{
		{"one large entry, referred to over and over", append(slices.Clone(entry), bytes.Repeat([]byte{0xbe}, 60000)...), 60001 * 4033},
		{"small fields entered over and over", bytes.Repeat([]byte{0x40, 0, 0}, 21000), 21000 * 32},
		{"names taken over from a large entry", append(slices.Clone(entry), bytes.Repeat([]byte{0x7e, 0}, 30000)...), 0},
		{"size updates", bytes.Repeat([]byte{0x20}, 65536), 0},
		{"the shortest codes", appendString([]byte{0x00, 1, 'a'}, strings.Repeat("0", 100000)), 100033},
		{"the longest codes", xhpack.AppendHuffmanString(appendInteger([]byte{0x00, 1, 'a'}, 0x80, 0x7f, 63750),
			strings.Repeat("\n", 17000)), 17033},
	} {
		d := NewDecoder(4096)
		var fields []Field
		allocs := testing.AllocsPerRun(1, func() {
			var size int
			var err error
			fields, size, err = d.Decode(fields[:0], c.block, 16<<10)
			if err != nil || c.size != 0 && size != c.size {
				t.Errorf("%s: %d, %v", c.name, size, err)
			}
		})
		kept := 0
		for _, f := range fields {
			kept += cost(f.Name, f.Value)
		}
		if kept > 16<<10 || allocs > 30 || d.table.size > 4096 || len(d.table.ring) > 128 || cap(d.scratch) > keptScratch {
			t.Errorf("%s: %d bytes of fields, %v allocations, table of %d bytes in %d places, scratch of %d", c.name, kept, allocs,
				d.table.size, len(d.table.ring), cap(d.scratch))
		}
	}
}

func TestFieldsInTheTablesAreReadWithoutAllocating(t *testing.T) {
	var e Encoder
	d := NewDecoder(4096)
	encode(&e, benchRequest)
	b := encode(&e, benchRequest)
	if _, _, err := d.Decode(nil, encode(new(Encoder), benchRequest), 1<<16); err != nil {
		t.Fatal(err)
	}
	fields := make([]Field, 0, 16)
	if n := testing.AllocsPerRun(100, func() { fields, _, _ = d.Decode(fields[:0], b, 1<<16) }); n != 0 || len(fields) != 8 {
		t.Errorf("%v allocations, %v", n, fields)
	}
}

// judge decodes a block with both decoders and reports whether they can go on.
func judge(t *testing.T, ours *Decoder, stock *xhpack.Decoder, block []byte) bool {
	t.Helper()
	want, stockErr := stock.DecodeFull(block)
	got, size, err := ours.Decode(nil, block, 1<<30)
	switch {
	case err == errLate && stockErr == nil:
		return false // x/net takes it while its table is empty
	case err == nil && stockErr != nil && strings.Contains(stockErr.Error(), "MUST occur at the beginning"):
		return false // x/net does not take a second one in a row
	case (err == nil) != (stockErr == nil):
		t.Fatalf("%x: %v, the stock decoder says %v", block, err, stockErr)
	case err != nil:
		return false
	case !slices.Equal(got, want):
		t.Fatalf("%x: %q, the stock decoder says %q", block, got, want)
	}
	for _, f := range got {
		size -= cost(f.Name, f.Value)
	}
	if size != 0 || ours.table.size > ours.table.max {
		t.Fatalf("%x: size is %d off, table of %d bytes", block, size, ours.table.size)
	}
	return true
}

// randomBlock is mostly well formed.
func randomBlock(r *rand.Rand) (b []byte) {
	str := func() {
		s := randomField(r).Value
		switch r.IntN(3) {
		case 0:
			b = append(appendInteger(b, 0, 0x7f, uint32(len(s))), s...)
		case 1:
			b = xhpack.AppendHuffmanString(appendInteger(b, 0x80, 0x7f, uint32(xhpack.HuffmanEncodeLength(s))), s)
		default:
			b = appendString(b, s)
		}
	}
	for range r.IntN(3) {
		if r.IntN(10) == 0 {
			b = appendInteger(b, 0x20, 0x1f, uint32(r.IntN(4200)))
		}
	}
	for range r.IntN(20) {
		index := uint32(r.IntN(62))
		if r.IntN(20) == 0 {
			index += 10
		}
		switch r.IntN(4) {
		case 0:
			b = appendInteger(b, 0x80, 0x7f, max(index, 1))
			continue
		case 1:
			b = appendInteger(b, 0x40, 0x3f, index)
		case 2:
			b = appendInteger(b, 0x10, 0x0f, index)
		case 3:
			b = appendInteger(b, 0x00, 0x0f, index)
		}
		if index == 0 {
			str()
		}
		str()
	}
	if r.IntN(100) == 0 && len(b) > 0 {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return b
}

func TestBlocksAreReadAsByTheStockDecoder(t *testing.T) {
	read := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 11))
		ours, stock := NewDecoder(4096), xhpack.NewDecoder(4096, nil)
		for judge(t, ours, stock, randomBlock(r)) {
			read++
		}
	}
	t.Logf("%d blocks", read)
	if read < 1000 {
		t.Errorf("only %d blocks were read", read)
	}
}

func TestHuffmanCodesAreReadAsByTheStockDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 13))
	good := 0
	for i := range 200000 {
		b := make([]byte, 1+r.IntN(12))
		for j := range b {
			b[j] = byte(r.Uint32())
			if i%2 == 0 {
				b[j] |= byte(r.UintN(256)) | ^byte(1<<r.UintN(8)) // long codes
			}
		}
		got, ok := appendDecoded([]byte("x"), b)
		want, err := xhpack.HuffmanDecodeToString(b)
		if ok != (err == nil) || ok && string(got) != "x"+want {
			t.Fatalf("%x: %q, %v; the stock decoder says %q, %v", b, got, ok, want, err)
		}
		if ok {
			good++
		}
	}
	if good < 1000 {
		t.Errorf("only %d were well formed", good)
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"), []byte("\xbe"))
	f.Add([]byte("\x40\x01a\x01b"), []byte("\x3f\x21\x3f\xe1\x1f\xbe"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		ours, stock := NewDecoder(4096), xhpack.NewDecoder(4096, nil)
		limited := NewDecoder(4096)
		for _, b := range [][]byte{first, second, second, first} {
			if !judge(t, ours, stock, b) {
				return
			}
			if _, _, err := limited.Decode(nil, b, 50); err != nil || !slices.Equal(limited.table.ring, ours.table.ring) {
				t.Fatalf("%x under a limit: %v, or another table", b, err)
			}
		}
	})
}
