package attack

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// What other attacks have to be answered with.
var (
	illegal  = []http2.ErrCode{http2.ErrCodeProtocol}
	overflow = []http2.ErrCode{http2.ErrCodeFlowControl}
)

// Servers are the attacks from a server.
var Servers = append([]Server{
	{Name: "a server that behaves", Want: Works},
	{Name: "endless 103", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		for c.More() {
			c.headers(id, answer("103", literal("link", "</a.css>; rel=preload")), false, true)
		}
		return true
	}},
	{Name: "endless CONTINUATION", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, false)
		piece := bytes.Repeat(literal("x-flood", strings.Repeat("y", 100)), 140)
		for c.More() {
			c.WriteContinuation(id, false, piece)
		}
		return true
	}},
	{Name: "endless CONTINUATION, empty", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, false)
		for c.More() {
			c.WriteContinuation(id, false, nil)
		}
		return true
	}},
	{Name: "PING flood", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		for c.More() {
			c.WritePing(false, [8]byte{})
		}
		return true
	}},
	{Name: "SETTINGS flood", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		for c.More() {
			c.WriteSettings()
		}
		return true
	}},
	{Name: "empty DATA flood", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		for c.More() {
			c.WriteData(id, false, nil)
		}
		return true
	}},
	{Name: "WINDOW_UPDATE flood", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		for c.More() {
			c.WriteWindowUpdate(0, 1)
		}
		return true
	}},
	{Name: "MAX_FRAME_SIZE of 0", Want: Fails, Codes: illegal, settings: []http2.Setting{{ID: http2.SettingMaxFrameSize, Val: 0}}},
	{Name: "INITIAL_WINDOW_SIZE too large", Want: Fails, Codes: overflow, settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 31}}},
	{Name: "unknown settings", Want: Works, settings: []http2.Setting{{ID: 0xf000, Val: 1}, {ID: 0x10, Val: 1 << 31}}},
	{Name: "unknown frames", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteRawFrame(0xfa, 0xff, id, []byte("x"))
		c.headers(id, answer("200"), false, true)
		c.WriteRawFrame(0xfa, 0xff, 0, nil)
		c.WriteData(id, true, []byte(Answer))
		return false
	}},
	{Name: "padding", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: answer("200"), EndHeaders: true, PadLength: 200})
		for i, b := range []byte(Answer) {
			c.WriteDataPadded(id, i == len(Answer)-1, []byte{b}, make([]byte, 255))
		}
		return false
	}},
	{Name: "a head in many frames", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		block := answer("200", literal("x-one", "1"), literal("x-two", "2"))
		c.headers(id, block[:1], false, false)
		for i := 1; i < len(block); i++ {
			c.WriteContinuation(id, i == len(block)-1, block[i:i+1])
		}
		c.WriteData(id, true, []byte(Answer))
		return false
	}},
	{Name: "trailers", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteData(id, false, []byte(Answer))
		c.headers(id, literal("x-sum", "42"), true, true)
		return false
	}},
	{Name: "a giant head", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), true, false)
		giant(c, id)
		return false
	}},
	{Name: "giant trailers", Want: Fails, Codes: calm, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteData(id, false, []byte(Answer))
		c.headers(id, literal("x-first", "1"), true, false)
		giant(c, id)
		return false
	}},
	{Name: "DATA on a closed stream", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.well(id)
		c.Flush()
		c.WriteData(id, false, []byte("more"))
		return false
	}},
	{Name: "HEADERS on a closed stream", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.well(id)
		c.Flush()
		c.headers(id, answer("200"), true, true)
		return false
	}},
	{Name: "HEADERS on an idle stream", Want: Either, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id+1000, answer("200"), true, true)
		c.well(id)
		return false
	}},
	{Name: "DATA on an idle stream", Want: Either, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteData(id+1000, true, []byte("x"))
		c.well(id)
		return false
	}},
	{Name: "DATA beyond the window", Want: Either, Codes: overflow, Slow: true, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		piece := make([]byte, 16<<10)
		for c.More() {
			c.WriteData(id, false, piece)
		}
		return true
	}},
	{Name: "DATA on stream 0", Want: Fails, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteRawFrame(http2.FrameData, 0, 0, []byte("x"))
		return false
	}},
	{Name: "a frame that is too large", Want: Fails, Codes: []http2.ErrCode{http2.ErrCodeFrameSize}, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteRawFrame(http2.FrameData, http2.FlagDataEndStream, id, make([]byte, 8<<20))
		return false
	}},
	{Name: "bad HPACK", Want: Fails, Codes: []http2.ErrCode{http2.ErrCodeCompression}, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, bytes.Repeat([]byte{0xff}, 20), true, true)
		return false
	}},
	{Name: "HPACK index of nothing", Want: Fails, Codes: []http2.ErrCode{http2.ErrCodeCompression}, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, append(answer("200"), 0xc6), true, true) // 70, of an empty table
		return false
	}},
	{Name: "GOAWAY in mid-stream", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteGoAway(id, http2.ErrCodeNo, nil)
		c.Flush()
		time.Sleep(50 * time.Millisecond)
		c.WriteData(id, true, []byte(Answer))
		c.Flush()
		return true
	}},
	{Name: "GOAWAY before the request was processed", Want: Works, run: func(c *Conn, id uint32, n int) bool {
		if n%2 == 0 {
			c.WriteGoAway(0, http2.ErrCodeNo, nil)
			c.Flush()
			return true
		}
		c.well(id)
		return false
	}},
	{Name: "GOAWAY twice, as a drain does", Want: Works, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteGoAway(largest, http2.ErrCodeNo, nil)
		c.Flush()
		time.Sleep(50 * time.Millisecond)
		c.WriteGoAway(id, http2.ErrCodeNo, nil)
		c.well(id)
		c.Flush()
		return true
	}},
	{Name: "GOAWAY with an error", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteGoAway(id, http2.ErrCodeInternal, []byte("out of order"))
		c.Flush()
		return true
	}},
	{Name: "REFUSED_STREAM once", Want: Works, run: func(c *Conn, id uint32, n int) bool {
		if n%2 == 0 {
			c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			return false
		}
		c.well(id)
		return false
	}},
	{Name: "REFUSED_STREAM always", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		return false
	}},
	{Name: "RST_STREAM within the body", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteData(id, false, []byte(Answer[:3]))
		c.WriteRSTStream(id, http2.ErrCodeInternal)
		return false
	}},
	{Name: "an answer before the request's end", Want: Works, Body: true, run: func(c *Conn, id uint32, _ int) bool {
		c.well(id)
		c.WriteRSTStream(id, http2.ErrCodeNo)
		return false
	}},
	{Name: "no SETTINGS, but answers", Want: Either, Codes: illegal, silent: true},
	{Name: "SETTINGS never acknowledged", Want: Either, silent: true, greet: func(c *Conn) { c.WriteSettings() }},
	{Name: "an acknowledgement of nothing", Want: Either, greet: func(c *Conn) { c.WriteSettingsAck() }},
	{Name: "closes at once", Want: Fails, greet: func(c *Conn) { c.Flush(); c.Conn.Close() }},
	{Name: "closes within the head", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, false)
		c.Flush()
		return true
	}},
	{Name: "closes within the body", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.WriteData(id, false, []byte(Answer[:3]))
		c.Flush()
		return true
	}},
	{Name: "closes within a frame", Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
		c.headers(id, answer("200"), false, true)
		c.Flush()
		c.Conn.Write([]byte{0, 0, 6, 0, 1})
		return true
	}},
	{Name: "HTTP/1.1", Want: Fails, raw: "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{Name: "another protocol", Want: Fails, raw: "220 mail.test ESMTP\r\n"},
	{Name: "PUSH_PROMISE", Want: Either, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: request("GET", "/"), EndHeaders: true})
		c.well(id)
		return false
	}},
	{Name: "zero increments", Want: Either, Codes: illegal, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteWindowUpdate(id, 0)
		c.well(id)
		return false
	}},
	{Name: "a stream's window too large", Want: Either, Codes: overflow, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteWindowUpdate(id, largest)
		c.WriteWindowUpdate(id, largest)
		c.well(id)
		return false
	}},
	{Name: "the connection's window too large", Want: Either, Codes: overflow, run: func(c *Conn, id uint32, _ int) bool {
		c.WriteWindowUpdate(0, largest)
		c.WriteWindowUpdate(0, largest)
		c.well(id)
		return false
	}},
	{Name: "no streams allowed at first", Want: Works, settings: []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 0}},
		greet: func(c *Conn) {
			c.Flush()
			time.Sleep(300 * time.Millisecond)
			c.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
		}},
	{Name: "one stream allowed", Want: Works, settings: []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 1}}},
	{Name: "no table", Want: Works, settings: []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 0}}},
	{Name: "windows of one byte", Want: Works, settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1}}},
}, append(malformed, resets()...)...)

// resets are servers that reset the stream before there is an answer, with each code (RFC 9113, section 7) and one that nobody knows.
func resets() (all []Server) {
	for code := http2.ErrCodeNo; code <= http2.ErrCodeHTTP11Required+1; code++ {
		if code == http2.ErrCodeRefusedStream {
			continue // above
		}
		all = append(all, Server{Name: fmt.Sprintf("RST_STREAM, %v", code), Want: Fails, run: func(c *Conn, id uint32, _ int) bool {
			c.WriteRSTStream(id, code)
			return false
		}})
	}
	return all
}

// giant goes on with a header block, up to 4 MB.
func giant(c *Conn, id uint32) {
	piece := bytes.Repeat(literal("x-giant", strings.Repeat("y", 100)), 140)
	for range 256 {
		c.WriteContinuation(id, false, piece)
	}
	c.WriteContinuation(id, true, nil)
}
