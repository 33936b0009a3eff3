package hpack

import (
	"bytes"
	"fmt"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"
)

var (
	benchRequest = pairs(":method", "POST", ":scheme", "http", ":path", "/shop.cart.v1.CartService/AddItem",
		":authority", "cart.shop.svc.cluster.local:50051", "content-type", "application/grpc", "user-agent", "grpc-go/1.76.0",
		"te", "trailers", "grpc-timeout", "")
	benchResponse = pairs(":status", "200", "content-type", "application/grpc", "date", "Mon, 02 Jan 2006 15:04:05 GMT", "server", "shop")
	benchTrailers = pairs("grpc-status", "0", "grpc-message", "")
	benchCall     = [][]Field{benchRequest}
	benchAnswer   = [][]Field{benchResponse, benchTrailers}
	benchTimeouts = func() (s [1024]string) {
		for i := range s {
			s[i] = fmt.Sprintf("%du", 4990000+i*7)
		}
		return s
	}()
)

// benchLists are what a benchmark writes in its i-th round.
var benchLists = []struct {
	name string
	list func(i int) [][]Field
}{
	{"request of 8 fields, all repeated", func(int) [][]Field { return benchCall }},
	{"request of 8 fields, a new timeout each time", func(i int) [][]Field {
		benchRequest[7].Value = benchTimeouts[i%1024]
		return benchCall
	}},
	{"response and trailers", func(int) [][]Field { return benchAnswer }},
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchLists {
		benchRequest[7].Value = "5S"
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var e Encoder
			buf := make([]byte, 0, 4096)
			n := 0
			for i := range b.N {
				for _, l := range c.list(i) {
					buf = e.Begin(buf[:0])
					for j := range l {
						buf = e.Append(buf, l[j])
					}
					n += len(buf)
				}
			}
			b.ReportMetric(float64(n)/float64(b.N), "wire-B/op")
		})
		b.Run(c.name+", stock", func(b *testing.B) {
			b.ReportAllocs()
			var buf bytes.Buffer
			e := xhpack.NewEncoder(&buf)
			n := 0
			for i := range b.N {
				for _, l := range c.list(i) {
					buf.Reset()
					for j := range l {
						_ = e.WriteField(l[j])
					}
					n += buf.Len()
				}
			}
			b.ReportMetric(float64(n)/float64(b.N), "wire-B/op")
		})
	}
}

// benchBlocks are blocks that follow one another; they can be read in a circle, because a decoder only needs its table
// to be as it was at the first.
func benchBlocks(write func(buf *bytes.Buffer, l []Field), list func(i int) [][]Field) (bs [][]byte) {
	for i := range 4096 {
		for _, l := range list(i) {
			var buf bytes.Buffer
			write(&buf, l)
			bs = append(bs, bytes.Clone(buf.Bytes()))
		}
	}
	return bs
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchLists {
		for _, peer := range []string{"ours", "stock"} {
			benchRequest[7].Value = "5S"
			var e Encoder
			var out bytes.Buffer
			x := xhpack.NewEncoder(&out)
			blocks := benchBlocks(func(buf *bytes.Buffer, l []Field) {
				if peer == "ours" {
					buf.Write(encode(&e, l))
					return
				}
				out.Reset()
				for _, f := range l {
					_ = x.WriteField(f)
				}
				buf.Write(out.Bytes())
			}, c.list)
			per := len(blocks) / 4096
			b.Run(c.name+", from "+peer, func(b *testing.B) {
				b.ReportAllocs()
				var d *Decoder
				var fields []Field
				for i := range b.N {
					at := i % 4096 * per
					if at == 0 {
						d = NewDecoder(4096)
					}
					for _, block := range blocks[at : at+per] {
						var err error
						if fields, _, err = d.Decode(fields[:0], block, 1<<16); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
