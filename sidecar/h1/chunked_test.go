package h1

import (
	"fmt"
	"strings"
	"testing"
)

func TestChunkedBodies(t *testing.T) {
	big := strings.Repeat("x", 300)
	tests := []struct {
		name     string
		in       string
		request  Reason // reasonNone: followed to the end of in
		response Reason
	}{
		{"no data", "0\r\n\r\n", 0, 0},
		{"two chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 0, 0},
		{"hexadecimal in both cases", "12C\r\n" + big + "\r\n12c\r\n" + big + "\r\n0\r\n\r\n", 0, 0},
		{"all letters", "a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", 0, 0},
		{"zeros in front", "0005\r\nhello\r\n0000\r\n\r\n", 0, 0},
		{"data that looks like chunks", "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", 0, 0},
		{"extensions", "5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n0;z\r\n\r\n", 0, 0},
		{"an extension with spaces", "5; a = b\t\r\nhello\r\n0\r\n\r\n", 0, 0},
		{"an extension with obs-text", "5;a=\xff\r\nhello\r\n0\r\n\r\n", 0, 0},
		{"trailers", "0\r\nX-Sum: abc\r\nY:\t\xff \r\nZ:\r\n\r\n", 0, 0},
		{"a trailer that names a length", "0\r\nContent-LENGTH: 5\r\n\r\n", BadTrailer, 0},
		{"a trailer that names a coding", "0\r\nX: y\r\ntransfer-encoding: chunked\r\n\r\n", BadTrailer, 0},
		{"a trailer with a longer name", "0\r\ncontent-length-x: 5\r\n\r\n", 0, 0},
		{"a space behind the size", "5 \r\nhello\r\n0  \r\n\r\n", BadChunkSize, 0},
		{"a space before the extension", "5 ;a\r\nhello\r\n0\r\n\r\n", BadChunkSize, 0},
		{"words behind the size", "5 a\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"a space before the size", " 5\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"no size", "\r\n\r\n", BadChunkSize, BadChunkSize},
		{"only an extension", ";a\r\n\r\n", BadChunkSize, BadChunkSize},
		{"a plus", "+5\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"a minus", "-5\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"0x", "0x5\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"an underscore", "1_0\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"a letter beyond f", "g\r\n", BadChunkSize, BadChunkSize},
		{"NUL behind the size", "5\x00\r\nhello\r\n0\r\n\r\n", BadChunkSize, BadChunkSize},
		{"2^63", "8000000000000000\r\n", ChunkSizeOverflow, ChunkSizeOverflow},
		{"2^64+5", "10000000000000005\r\n", ChunkSizeOverflow, ChunkSizeOverflow},
		{"seventeen zeros", "00000000000000000\r\n", ChunkSizeOverflow, ChunkSizeOverflow},
		{"LF behind the size", "5\nhello\r\n0\r\n\r\n", BareLF, BareLF},
		{"CR behind the size", "5\rhello\r\n0\r\n\r\n", BareCR, BareCR},
		{"CR CR LF behind the size", "5\r\r\nhello\r\n0\r\n\r\n", BareCR, BareCR},
		{"LF in an extension", "5;a\nhello\r\n0\r\n\r\n", BareLF, BareLF},
		{"CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n", BareCR, BareCR},
		{"LF in a quoted extension", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", BareLF, BareLF},
		{"a line end in a quoted extension", "5;a=\"\r\nhello\r\n0\r\n\r\n", BadChunkExtension, BadChunkExtension},
		{"a quoted CR in an extension", "5;a=\"\\\r\nhello\r\n0\r\n\r\n", BadChunkExtension, BadChunkExtension},
		{"NUL in an extension", "5;a\x00\r\nhello\r\n0\r\n\r\n", BadChunkExtension, BadChunkExtension},
		{"an extension that is too long", "5;" + strings.Repeat("a", maxSizeLine) + "\r\n", ChunkExtensionTooLarge, ChunkExtensionTooLarge},
		{"extensions that together are too long", strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100), ChunkExtensionTooLarge, ChunkExtensionTooLarge},
		{"signed chunks as AWS has them", strings.Repeat("40;chunk-signature="+strings.Repeat("a", 64)+"\r\n"+strings.Repeat("x", 64)+"\r\n", 1000) + "0\r\n\r\n", 0, 0},
		{"a thousand chunks of one byte", strings.Repeat("1\r\nx\r\n", 1000) + "0\r\n\r\n", 0, 0},
		{"data that is too long", "5\r\nhello!\r\n0\r\n\r\n", BadChunkEnd, BadChunkEnd},
		{"data that ends with LF", "5\r\nhello\n0\r\n\r\n", BadChunkEnd, BadChunkEnd},
		{"data that ends with CR", "5\r\nhello\rx", BadChunkEnd, BadChunkEnd},
		{"LF behind the last chunk", "0\n\r\n", BareLF, BareLF},
		{"LF as the empty line", "0\r\n\n", BareLF, BareLF},
		{"CR as the empty line", "0\r\n\rGET", BareCR, BareCR},
		{"a folded trailer", "0\r\nX: a\r\n b\r\n\r\n", ObsFold, ObsFold},
		{"a space before a trailer's colon", "0\r\nX : a\r\n\r\n", SpaceBeforeColon, SpaceBeforeColon},
		{"a trailer without colon", "0\r\nX\r\n\r\n", MissingColon, MissingColon},
		{"a trailer without name", "0\r\n: a\r\n\r\n", EmptyFieldName, EmptyFieldName},
		{"a control byte in a trailer's name", "0\r\nX\x01: a\r\n\r\n", BadFieldName, BadFieldName},
		{"a control byte before a trailer's name", "0\r\n\x01X: a\r\n\r\n", BadFieldName, BadFieldName},
		{"a control byte in a trailer", "0\r\nX: a\x01\r\n\r\n", BadFieldValue, BadFieldValue},
		{"LF in a trailer's name", "0\r\nX\nY: a\r\n\r\n", BareLF, BareLF},
		{"LF in a trailer", "0\r\nX: a\nY: b\r\n\r\n", BareLF, BareLF},
		{"CR in a trailer", "0\r\nX: a\rY: b\r\n\r\n", BareCR, BareCR},
		{"a trailer section beyond the limit", "0\r\nX: " + strings.Repeat("x", 2000) + "\r\n\r\n", TrailerTooLarge, TrailerTooLarge},
		{"too many trailers", "0\r\n" + strings.Repeat("a:\r\n", MaxFields+1) + "\r\n", TrailerTooLarge, TrailerTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			checkChunks(t, tt.in, false, tt.request)
			checkChunks(t, tt.in, true, tt.response)
		})
	}
}

// checkChunks follows in, with another message behind it, in one piece, in two and byte by byte.
func checkChunks(t *testing.T, in string, response bool, want Reason) {
	t.Helper()
	const behind = "HTTP/1.1 200 OK\r\n"
	check := func(cuts ...int) {
		var c Chunks
		c.Reset(1000, response)
		b, at := []byte(in+behind), 0
		for _, cut := range append(cuts, len(b)) {
			n, done, err := c.Scan(b[at:cut])
			if err != nil {
				if got, _ := ReasonOf(err); got != want {
					t.Fatalf("cut at %v: reason %q, want %q", cuts, got, want)
				}
				return
			}
			at += n
			if done != c.Done() || done != (at == len(in) && want == reasonNone) || !done && at != cut {
				t.Fatalf("cut at %v: %d bytes scanned of %d, done %v", cuts, at, len(in), done)
			}
			if done {
				break
			}
		}
		if !c.Done() || want != reasonNone {
			t.Fatalf("cut at %v: scanned to the end, want %q", cuts, want)
		}
	}
	check()
	var every []int
	for i := 1; i < len(in); i++ {
		if len(in) < 1000 {
			check(i)
		}
		every = append(every, i)
	}
	check(every...)
}

func TestChunksCanBeSkipped(t *testing.T) {
	var c Chunks
	scan := func(in string, left int64) {
		t.Helper()
		if n, done, err := c.Scan([]byte(in)); n != len(in) || done || err != nil {
			t.Fatal(n, done, err)
		}
		if c.Remaining() != left {
			t.Errorf("%d bytes remain, want %d", c.Remaining(), left)
		}
	}
	scan("", 0)
	scan("1", 0)
	scan("00000\r\n", 1<<20)
	c.Skip(0)
	scan("abc", 1<<20-3)
	c.Skip(1 << 19)
	scan("", 1<<19-3)
	c.Skip(1<<19 - 3)
	scan("\r", 0)
	c.Skip(0)
	scan("\n5\r\nhello\r\n0\r\n", 0)
	if n, done, err := c.Scan([]byte("\r\nnext")); n != 2 || !done || err != nil {
		t.Fatal(n, done, err)
	}
	if n, done, err := c.Scan([]byte("next")); n != 0 || !done || err != nil {
		t.Fatal(n, done, err)
	}
	defer func() {
		if recover() == nil {
			t.Error("skipping beyond the chunk does not panic")
		}
	}()
	c.Skip(1)
}

func BenchmarkChunks(b *testing.B) {
	for _, size := range []int{16, 1024, 16384} {
		b.Run(fmt.Sprintf("of %d bytes", size), func(b *testing.B) {
			in := []byte(strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", size, strings.Repeat("x", size)), 64<<10/size) + "0\r\n\r\n")
			var c Chunks
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				c.Reset(0, false)
				if n, done, err := c.Scan(in); n != len(in) || !done || err != nil {
					b.Fatal(n, done, err)
				}
			}
		})
	}
}
