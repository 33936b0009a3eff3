package hpack

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	xhpack "golang.org/x/net/http2/hpack"
)

// A stream of field sections as one connection carries them, by what lies behind it.
var corpus = []struct {
	name  string
	lists func(r *rand.Rand, n int) [][]Field
}{
	{"gRPC requests of one client with deadlines", grpcRequests},
	{"gRPC requests with traces and metadata", tracedRequests},
	{"gRPC responses and trailers", grpcResponses},
	{"REST requests with ids in their paths", restRequests},
	{"browser requests with cookies", browserRequests},
	{"requests for many users with tokens of their own", tokenRequests},
	{"responses of an API", apiResponses},
	{"static files", fileResponses},
	{"requests of several applications in turn", mixedRequests},
	{"a working set larger than the table", crowdedRequests},
	{"nothing but what never repeats", uniqueRequests},
}

const corpusLength = 3000

func hex(r *rand.Rand, n int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[r.IntN(16)]
	}
	return string(b)
}

func uuid(r *rand.Rand) string {
	return strings.Join([]string{hex(r, 8), hex(r, 4), hex(r, 4), hex(r, 4), hex(r, 12)}, "-")
}

func base64(r *rand.Rand, n int) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[r.IntN(64)]
	}
	return string(b)
}

// zipf gives numbers under n of which the small ones are frequent.
func zipf(r *rand.Rand, n uint64) int { return int(rand.NewZipf(r, 1.3, 2, n-1).Uint64()) }

func pairs(s ...string) (l []Field) {
	for i := 0; i < len(s); i += 2 {
		l = append(l, Field{Name: s[i], Value: s[i+1], Sensitive: false})
	}
	return l
}

func grpcRequest(r *rand.Rand, authority, service string, methods int) []Field {
	return pairs(":method", "POST", ":scheme", "http", ":path", fmt.Sprintf("/%s/Method%d", service, zipf(r, uint64(methods))),
		":authority", authority, "content-type", "application/grpc", "user-agent", "grpc-go/1.76.0", "te", "trailers",
		"grpc-timeout", fmt.Sprintf("%dm", 4900+r.IntN(100)))
}

func grpcRequests(r *rand.Rand, n int) (ls [][]Field) {
	for range n {
		l := grpcRequest(r, "cart.shop.svc.cluster.local:50051", "shop.cart.v1.CartService", 6)
		l[7].Value = fmt.Sprintf("%du", 4990000+r.IntN(9999))
		ls = append(ls, l)
	}
	return ls
}

func tracedRequests(r *rand.Rand, n int) (ls [][]Field) {
	token := base64(r, 700)
	for i := range n {
		if i%1000 == 999 {
			token = base64(r, 700)
		}
		l := grpcRequest(r, "orders:50051", "shop.orders.v1.OrderService", 10)
		l = append(l, pairs("grpc-accept-encoding", "gzip", "authorization", "Bearer "+token, "x-request-id", uuid(r),
			"traceparent", "00-"+hex(r, 32)+"-"+hex(r, 16)+"-01", "tracestate", "vendor=t61rcWkgMzE", "baggage", "tenant=42",
			"grpc-trace-bin", base64(r, 39), "x-tenant", fmt.Sprintf("tenant-%d", zipf(r, 50)))...)
		ls = append(ls, l)
	}
	return ls
}

func grpcResponses(r *rand.Rand, n int) (ls [][]Field) {
	for i := range n {
		ls = append(ls, pairs(":status", "200", "content-type", "application/grpc", "date", date(i/20), "server", "shop"))
		switch r.IntN(20) {
		case 0:
			ls = append(ls, pairs("grpc-status", "5", "grpc-message", "no order "+uuid(r)))
		case 1:
			ls = append(ls, pairs("grpc-status", "14", "grpc-message", "connection refused"))
		default:
			ls = append(ls, pairs("grpc-status", "0", "grpc-message", ""))
		}
	}
	return ls
}

func date(second int) string {
	return time.Unix(1760000000+int64(second), 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}

func restRequests(r *rand.Rand, n int) (ls [][]Field) {
	for range n {
		l := pairs(":method", []string{"GET", "GET", "GET", "PUT", "POST", "DELETE"}[r.IntN(6)], ":scheme", "http",
			":authority", "inventory.shop", "accept", "application/json", "user-agent", "okhttp/4.12.0", "accept-encoding", "gzip",
			"x-request-id", uuid(r), "x-b3-traceid", hex(r, 32), "x-b3-spanid", hex(r, 16), "x-b3-sampled", "0")
		path := fmt.Sprintf("/api/v2/items/%d", r.IntN(1e6))
		if r.IntN(4) == 0 {
			path = fmt.Sprintf("/api/v2/categories/%d/top", zipf(r, 30))
		}
		l = append(l, Field{Name: ":path", Value: path})
		l[3], l[len(l)-1] = l[len(l)-1], l[3]
		if l[0].Value == "PUT" || l[0].Value == "POST" {
			l = append(l, pairs("content-type", "application/json", "content-length", fmt.Sprint(100+r.IntN(900)))...)
		}
		ls = append(ls, l)
	}
	return ls
}

func browserRequests(r *rand.Rand, n int) (ls [][]Field) {
	session := base64(r, 43)
	for i := range n {
		if i%500 == 499 {
			session = base64(r, 43)
		}
		l := pairs(":method", "GET", ":authority", "www.shop.example", ":scheme", "https", ":path",
			fmt.Sprintf("/static/js/chunk.%d.js", zipf(r, 200)), "sec-ch-ua", `"Chromium";v="140", "Not=A?Brand";v="24"`,
			"sec-ch-ua-mobile", "?0", "sec-ch-ua-platform", `"Linux"`, "user-agent",
			"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
			"accept", []string{"*/*", "text/html,application/xhtml+xml", "image/avif,image/webp,*/*;q=0.8"}[zipf(r, 3)],
			"sec-fetch-site", "same-origin", "sec-fetch-mode", "no-cors", "sec-fetch-dest", []string{"script", "image"}[r.IntN(2)],
			"referer", fmt.Sprintf("https://www.shop.example/product/%d", r.IntN(40)), "accept-encoding", "gzip, deflate, br, zstd",
			"accept-language", "de-DE,de;q=0.9", "cookie", "sid="+session, "cookie", "_ga=GA1.1.1234567890.1700000000",
			"cookie", fmt.Sprintf("last=%d", 1760000000+i), "priority", "u=1, i")
		ls = append(ls, l)
	}
	return ls
}

func tokenRequests(r *rand.Rand, n int) (ls [][]Field) {
	tokens := make([]string, 40)
	for i := range tokens {
		tokens[i] = "Bearer " + base64(r, 600+r.IntN(400))
	}
	for range n {
		l := grpcRequest(r, "profile:50051", "shop.profile.v1.Profiles", 5)
		ls = append(ls, append(l, Field{Name: "authorization", Value: tokens[zipf(r, 40)], Sensitive: r.IntN(3) == 0}))
	}
	return ls
}

func apiResponses(r *rand.Rand, n int) (ls [][]Field) {
	for i := range n {
		status := []string{"200", "200", "200", "201", "404", "409"}[zipf(r, 6)]
		l := pairs(":status", status, "date", date(i/50), "content-type", "application/json", "vary", "Accept-Encoding",
			"content-length", fmt.Sprint(zipf(r, 5000)), "x-request-id", uuid(r), "x-envoy-upstream-service-time", fmt.Sprint(zipf(r, 80)),
			"cache-control", "no-store", "strict-transport-security", "max-age=31536000", "x-content-type-options", "nosniff")
		if r.IntN(30) == 0 {
			l = append(l, pairs("set-cookie", "sid="+base64(r, 32)+"; Path=/; HttpOnly")...)
		}
		ls = append(ls, l)
	}
	return ls
}

func fileResponses(r *rand.Rand, n int) (ls [][]Field) {
	for i := range n {
		file := zipf(r, 300)
		l := pairs(":status", "200", "server", "nginx", "date", date(i/100), "content-type",
			[]string{"text/css", "application/javascript", "image/png"}[file%3], "content-length", fmt.Sprint(file*977),
			"last-modified", date(-file*1000), "etag", fmt.Sprintf(`"%x-%x"`, file*977, file*31337), "accept-ranges", "bytes",
			"cache-control", "public, max-age=86400")
		if r.IntN(3) == 0 {
			l[0].Value = "304"
		}
		ls = append(ls, l)
	}
	return ls
}

func mixedRequests(r *rand.Rand, n int) (ls [][]Field) {
	kinds := [][][]Field{grpcRequests(r, n/3), tracedRequests(r, n/3), restRequests(r, n/3), browserRequests(r, n/3)}
	for range n {
		k := &kinds[r.IntN(len(kinds))]
		if len(*k) > 0 {
			ls, *k = append(ls, (*k)[0]), (*k)[1:]
		}
	}
	return ls
}

func crowdedRequests(r *rand.Rand, n int) (ls [][]Field) {
	for i := range n {
		l := grpcRequest(r, "catalog:50051", "shop.catalog.v1.Catalog", 3)
		ls = append(ls, append(l, pairs("x-shard", fmt.Sprintf("a-shard-of-the-catalog-%03d", i%120))...))
	}
	return ls
}

func uniqueRequests(r *rand.Rand, n int) (ls [][]Field) {
	for range n {
		ls = append(ls, pairs(":method", "GET", ":scheme", "http", ":path", "/"+uuid(r), ":authority", uuid(r), "x-request-id", uuid(r)))
	}
	return ls
}

func TestBlocksAreNoLongerThanTheStockEncoders(t *testing.T) {
	for _, c := range corpus {
		t.Run(c.name, func(t *testing.T) {
			lists := c.lists(rand.New(rand.NewPCG(1, 2)), corpusLength)
			var e Encoder
			var stock bytes.Buffer
			x := xhpack.NewEncoder(&stock)
			d := xhpack.NewDecoder(4096, nil)
			var plain, ours int
			var b []byte
			for _, l := range lists {
				b = e.Begin(b[:0])
				for _, f := range l {
					plain += len(f.Name) + len(f.Value)
					b = e.Append(b, f)
					if err := x.WriteField(f); err != nil {
						t.Fatal(err)
					}
				}
				ours += len(b)
				if got, err := d.DecodeFull(b); err != nil || !slices.Equal(got, l) {
					t.Fatalf("read back: %v, %v; written: %v", got, err, l)
				}
			}
			n := len(lists)
			t.Logf("%4d sections of %4d bytes: %6.1f bytes each, %6.1f by the stock encoder (%.2f)", n, plain/n,
				float64(ours)/float64(n), float64(stock.Len())/float64(n), float64(ours)/float64(stock.Len()))
			if ours > stock.Len() {
				t.Errorf("%d bytes, %d by the stock encoder", ours, stock.Len())
			}
		})
	}
}
