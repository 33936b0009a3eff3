package head

import "testing"

func BenchmarkRequestOf8Fields(b *testing.B) {
	l := list(":method POST", ":scheme http", ":path /shop.cart.v1.CartService/AddItem", ":authority cart.shop.svc.cluster.local:50051",
		"content-type application/grpc", "user-agent grpc-go/1.76.0", "te trailers", "grpc-timeout 4999821u")
	b.ReportAllocs()
	for range b.N {
		if _, err := ParseRequest(l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequestOfABrowser(b *testing.B) {
	l := list(":method GET", ":authority www.shop.example", ":scheme https", ":path /static/js/chunk.17.js", `sec-ch-ua "Chromium";v="140"`,
		"user-agent Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "accept */*",
		"sec-fetch-site same-origin", "referer https://www.shop.example/product/12", "accept-encoding gzip, deflate, br, zstd",
		"cookie sid=0123456789abcdef0123456789abcdef", "cookie _ga=GA1.1.1234567890.1700000000")
	b.ReportAllocs()
	for range b.N {
		if _, err := ParseRequest(l); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	l := list(":status 200", "content-type application/grpc", "date Mon, 02 Jan 2006 15:04:05 GMT", "server shop")
	trailers := list("grpc-status 0", "grpc-message")
	b.ReportAllocs()
	for range b.N {
		if _, _, err := ParseResponse(l); err != nil {
			b.Fatal(err)
		}
		if err := CheckTrailers(trailers); err != nil {
			b.Fatal(err)
		}
		if _, ok := GRPCStatus(trailers); !ok {
			b.Fatal("no status")
		}
	}
}

func TestRefusingDoesNotAllocate(t *testing.T) {
	l := list(append(get, "connection close")...)
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseRequest(l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
