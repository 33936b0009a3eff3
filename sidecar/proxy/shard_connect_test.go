package proxy

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// A WebSocket over HTTP/2 (extended CONNECT, RFC 8441) has no body: its client sends nothing before it is answered. A key that is to be in the
// body is absent, as it is from an upgrade of HTTP/1.1.
func TestAWebSocketOverHTTP2HasNoKeyInABody(t *testing.T) {
	for _, key := range []string{"json:/id", "grpc:1", "path:/{key},json:/id"} {
		for rule, want := range map[rules.KeyMissing]string{rules.KeyBalance: "200", rules.KeyReject: "400"} {
			t.Run(key+", "+rule.String(), func(t *testing.T) {
				s := newServer(t, func(_ int, c *net.TCPConn) {
					asked(c, func(out *http2.Framer, id uint32, path string) {
						out.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: path == "/"})
					}, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
				})
				r := newRig(t)
				r.serve(s.addr)
				cl := r.h2Client()
				res, err := cl.Get("http://web/") // by which the endpoint is known to take extended CONNECT
				body(t, res, err)
				r.keyed(func(r *rules.Rules) { r.Shard.Key, r.Shard.NoKey = key, rule }, r.eps(s.addr)...)

				c, err := net.Dial("tcp", r.addr.String())
				if err != nil {
					t.Fatal(err)
				}
				c.SetDeadline(time.Now().Add(patience))
				io.WriteString(c, http2.ClientPreface)
				f := http2.NewFramer(c, c)
				f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
				f.WriteSettings()
				var block bytes.Buffer
				enc := hpack.NewEncoder(&block)
				for _, h := range [][2]string{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":path", "/chat"}, {":authority", "web"}} {
					enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
				}
				f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
				for status := ""; status != want; {
					got, err := f.ReadFrame()
					if err != nil {
						t.Fatalf("waited for %s: %v", want, err)
					}
					switch got := got.(type) {
					case *http2.MetaHeadersFrame:
						if status = got.PseudoValue("status"); status != want {
							t.Fatalf("answered %s, want %s", status, want)
						}
					case *http2.RSTStreamFrame, *http2.GoAwayFrame:
						t.Fatalf("got %v", got)
					}
				}
				r.counts("keys looked for", 1, r.service().Keys[shardkey.Absent].Load)
				c.Close()
				cl.CloseIdleConnections()
			})
		}
	}
}
