package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/sluice-mesh/sluice/sidecar/h2/frame"
)

// What a client may not do, by RFC 9113. Stream 1 has been answered, 3 has been asked for with GET, 5 with POST and waits for its body.
func TestRulesForClients(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(c *peer)
		code   http2.ErrCode
		reason frame.Reason
	}{
		{"DATA of a stream that never was, section 5.1", func(c *peer) { c.WriteData(7, true, nil) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"RST_STREAM of a stream that never was, section 6.4", func(c *peer) { c.WriteRSTStream(7, 0) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"WINDOW_UPDATE of a stream that never was, section 5.1", func(c *peer) { c.WriteWindowUpdate(7, 1) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"DATA behind END_STREAM, section 5.1", func(c *peer) { c.WriteData(3, true, nil) }, http2.ErrCodeStreamClosed, frame.EndedStream},
		{"HEADERS behind END_STREAM, section 5.1", func(c *peer) { c.head(3, true, "a=b") }, http2.ErrCodeStreamClosed, frame.EndedStream},
		{"DATA of a stream that is closed, section 5.1", func(c *peer) { c.WriteData(1, true, nil) }, http2.ErrCodeStreamClosed, frame.ClosedStream},
		{"HEADERS of a stream that is closed, section 5.1", func(c *peer) { c.get(1) }, http2.ErrCodeStreamClosed, frame.ClosedStream},
		{"a stream of the server, section 5.1.1", func(c *peer) { c.get(8) }, http2.ErrCodeProtocol, frame.BadStream},
		{"HEADERS on stream 0, section 6.2", func(c *peer) { c.get(0) }, http2.ErrCodeProtocol, frame.BadStream},
		{"DATA on stream 0, section 6.1", func(c *peer) { c.WriteData(0, true, nil) }, http2.ErrCodeProtocol, frame.BadStream},
		{"SETTINGS on a stream, section 6.5", func(c *peer) { c.WriteRawFrame(http2.FrameSettings, 0, 3, nil) }, http2.ErrCodeProtocol, frame.BadStream},
		{"an acknowledgement with settings, section 6.5", func(c *peer) { c.WriteRawFrame(http2.FrameSettings, 1, 0, make([]byte, 6)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"PING of seven bytes, section 6.7", func(c *peer) { c.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"a frame beyond SETTINGS_MAX_FRAME_SIZE, section 4.2", func(c *peer) { c.WriteData(5, false, make([]byte, 16385)) }, http2.ErrCodeFrameSize, frame.FrameTooLarge},
		{"padding as long as the frame, section 6.1", func(c *peer) { c.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 5, []byte{2, 0, 0}[:2]) }, http2.ErrCodeProtocol, frame.BadPadding},
		{"PUSH_PROMISE of a client, section 8.4", func(c *peer) { c.WriteRawFrame(http2.FramePushPromise, 4, 5, make([]byte, 4)) }, http2.ErrCodeProtocol, frame.PushRefused},
		{"CONTINUATION without HEADERS, section 6.10", func(c *peer) { c.WriteContinuation(5, true, nil) }, http2.ErrCodeProtocol, frame.LoneContinuation},
		{"a frame between HEADERS and CONTINUATION, section 6.10", func(c *peer) {
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: c.block(":method=GET")})
			c.WritePing(false, [8]byte{})
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
		{"CONTINUATION of another stream, section 6.10", func(c *peer) {
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: c.block(":method=GET")})
			c.WriteContinuation(9, true, nil)
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
		{"an unknown frame between HEADERS and CONTINUATION, section 5.5", func(c *peer) {
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: c.block(":method=GET")})
			c.WriteRawFrame(0xfa, 0, 7, nil)
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
		{"a block that cannot be read, section 4.3", func(c *peer) {
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}, http2.ErrCodeCompression, frame.BrokenHeaderBlock},
		{"a window increment of zero, section 6.9", func(c *peer) { c.WriteRawFrame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)) }, http2.ErrCodeProtocol, frame.BadIncrement},
		{"a connection window beyond 2^31-1, section 6.9.1", func(c *peer) { c.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl, frame.WindowOverflow},
		{"a stream window beyond 2^31-1 by SETTINGS, section 6.9.2", func(c *peer) {
			c.WriteWindowUpdate(5, 1<<31-65536)
			c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65537})
		}, http2.ErrCodeFlowControl, frame.WindowOverflow},
		{"SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31-1, section 6.5.2", func(c *peer) {
			c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}, http2.ErrCodeFlowControl, frame.BadSetting},
		{"SETTINGS_MAX_FRAME_SIZE too small, section 6.5.2", func(c *peer) {
			c.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16383})
		}, http2.ErrCodeProtocol, frame.BadSetting},
		{"SETTINGS_ENABLE_PUSH of 2, section 6.5.2", func(c *peer) {
			c.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2})
		}, http2.ErrCodeProtocol, frame.BadSetting},
		{"more data than the stream's window, section 6.9.1", func(c *peer) { c.fill(5, 65536, false) }, http2.ErrCodeFlowControl, frame.WindowExceeded},
		{"PRIORITY of a stream that depends on itself: RFC 7540, section 5.3.1", func(c *peer) {
			c.WritePriority(5, http2.PriorityParam{StreamDep: 5})
		}, http2.ErrCodeProtocol, frame.SelfDependency},
		{"GOAWAY of four bytes, section 6.8", func(c *peer) { c.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 4)) }, http2.ErrCodeFrameSize, frame.BadLength},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			c.get(3)
			s.want(asked("GET", 3)+" end", "")
			c.post(5)
			s.want(asked("POST", 5), "")
			if row.reason == frame.WindowExceeded {
				s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) // so that nothing goes on, and no window comes back
				s.silence("")
			}
			row.do(c)
			c.goesAway(row.code, row.reason, "")
			got := map[string]bool{s.seen(): true, s.seen(): true}
			if !got["RST_STREAM 3 CANCEL"] || !got["RST_STREAM 5 CANCEL"] {
				t.Errorf("the endpoint got %v, want the client's streams cancelled", got)
			}
			r.violated("downstream " + row.reason.String())
		})
	}
}

// Frames of a stream that we have reset may be on their way (section 5.4.2), but not behind the client's own reset of it.
func TestAClientSendsBehindItsOwnReset(t *testing.T) {
	for _, own := range []bool{false, true} {
		r, c, s := pair(t, nil)
		c.post(3)
		s.want(asked("POST", 3), "")
		s.ok(3, true)
		s.WriteRSTStream(3, http2.ErrCodeNo)
		c.want("HEADERS 3 :status=200 end", "an answer before the body")
		c.want("RST_STREAM 3 NO_ERROR", "the body is not wanted")
		if own {
			c.WriteRSTStream(3, http2.ErrCodeCancel)
		}
		c.WriteData(3, true, []byte("test"))
		if own {
			c.goesAway(http2.ErrCodeStreamClosed, frame.ClosedStream, "")
			r.violated("downstream " + frame.ClosedStream.String())
			continue
		}
		c.get(5)
		s.want(asked("GET", 5)+" end", "the connection goes on")
	}
}

// What ends a client's stream only. Stream 3 has been asked for with POST.
func TestRulesForClientsStreams(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(c *peer)
		want string
	}{
		{"a stream window beyond 2^31-1, section 6.9.1", func(c *peer) { c.WriteWindowUpdate(3, 1<<31-1) }, "RST_STREAM 3 FLOW_CONTROL_ERROR"},
		{"HEADERS without END_STREAM behind HEADERS, section 8.1", func(c *peer) { c.head(3, false, "a=b") }, "RST_STREAM 3 PROTOCOL_ERROR"},
		{"a pseudo-header field in trailers, section 8.1", func(c *peer) { c.head(3, true, ":path=/") }, "RST_STREAM 3 PROTOCOL_ERROR"},
		{"less data than content-length says, section 8.1.1", func(c *peer) { c.WriteData(3, true, []byte("123")) }, "RST_STREAM 3 PROTOCOL_ERROR"},
		{"more data than content-length says, section 8.1.1", func(c *peer) { c.WriteData(3, true, []byte("12345")) }, "RST_STREAM 3 PROTOCOL_ERROR"},
		{"trailers in the place of data, section 8.1.1", func(c *peer) { c.head(3, true, "a=b") }, "RST_STREAM 3 PROTOCOL_ERROR"},
		{"trailers larger than we take", func(c *peer) {
			c.WriteData(3, false, []byte("1234"))
			big := strings.Repeat("v", 20000)
			b := c.block("a="+big, "b="+big, "c="+big, "d="+big)
			c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: b[:16000], EndStream: true})
			for b = b[16000:]; len(b) > 16000; b = b[16000:] {
				c.WriteContinuation(3, false, b[:16000])
			}
			c.WriteContinuation(3, true, b)
		}, "RST_STREAM 3 PROTOCOL_ERROR"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			c.post(3, "content-length=4")
			s.want(asked("POST", 3, "content-length=4"), "")
			row.do(c)
			c.want(row.want, "a stream error")
			if got := s.seen(); got == `DATA 3 "1234"` {
				s.want("RST_STREAM 3 CANCEL", "the endpoint is told")
			} else if got != "RST_STREAM 3 CANCEL" {
				t.Errorf("the endpoint got %q", got)
			}
			c.get(5)
			s.want(asked("GET", 5)+" end", "the connection goes on")
			s.ok(5, true)
			c.want("HEADERS 5 :status=200 end", "")
			r.was("ended 0 grpc -1 truncated false gone true", "head 200 grpc -1 last true", "ended 200 grpc -1 truncated false gone false")
		})
	}
}

// What is no error.
func TestToleranceTowardsClients(t *testing.T) {
	_, c, s := pair(t, nil)
	c.WriteRawFrame(0xfa, 0xff, 99, []byte("unknown"))
	c.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x03u=1")) // PRIORITY_UPDATE, RFC 9218
	c.WriteSettings(http2.Setting{ID: 0xfafa, Val: 1})
	c.WritePriority(99, http2.PriorityParam{StreamDep: 3})
	c.WriteGoAway(0, http2.ErrCodeNo, []byte("so long"))
	c.WriteWindowUpdate(1, 1)
	c.WriteRSTStream(1, http2.ErrCodeCancel)
	c.WriteSettingsAck()
	c.silence("none of it is an error, RFC 9113, sections 4.1, 5.1 and 6.8")
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.block(request("GET")...), EndStream: true, EndHeaders: true, PadLength: 7,
		Priority: http2.PriorityParam{StreamDep: 1, Weight: 3, Exclusive: true}})
	s.want(asked("GET", 3)+" end", "padding and priority are taken off")
	s.ok(3, true)
	c.want("HEADERS 3 :status=200 end", "")
}

func TestTheFirstFrameIsSettings(t *testing.T) {
	for name, do := range map[string]func(c *peer){
		"HEADERS": func(c *peer) { c.get(1) }, "PING": func(c *peer) { c.WritePing(false, [8]byte{}) }, "an acknowledgement": func(c *peer) { c.WriteSettingsAck() },
		"another protocol's text": func(c *peer) { c.c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0, nil)
			c := r.bare()
			c.auto = false
			do(c)
			c.goesAway(http2.ErrCodeProtocol, frame.NotSettingsFirst, "RFC 9113, section 3.4")
		})
	}
}

// What an endpoint may not do. Stream 1 has been answered, 3 is within its answer, 5 waits for it.
func TestRulesForServers(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(s *peer)
		code   http2.ErrCode
		reason frame.Reason
	}{
		{"HEADERS of a stream that was not asked for", func(s *peer) { s.ok(9, true) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"HEADERS of a stream of its own", func(s *peer) { s.ok(2, true) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"DATA of a stream that was not asked for", func(s *peer) { s.WriteData(9, true, nil) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"PUSH_PROMISE, which we said we do not take", func(s *peer) { s.WriteRawFrame(http2.FramePushPromise, 4, 3, make([]byte, 4)) }, http2.ErrCodeProtocol, frame.PushRefused},
		{"more data than the stream's window", func(s *peer) { s.fill(3, 600_000, false) }, http2.ErrCodeFlowControl, frame.WindowExceeded},
		{"a connection window beyond 2^31-1", func(s *peer) { s.WriteWindowUpdate(0, 1<<31-1) }, http2.ErrCodeFlowControl, frame.WindowOverflow},
		{"a window increment of zero", func(s *peer) { s.WriteRawFrame(http2.FrameWindowUpdate, 0, 3, make([]byte, 4)) }, http2.ErrCodeProtocol, frame.BadIncrement},
		{"SETTINGS_MAX_FRAME_SIZE of zero", func(s *peer) { s.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize}) }, http2.ErrCodeProtocol, frame.BadSetting},
		{"a frame that is too large", func(s *peer) { s.WriteData(3, false, make([]byte, 16385)) }, http2.ErrCodeFrameSize, frame.FrameTooLarge},
		{"a block that cannot be read", func(s *peer) {
			s.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: []byte{0x80}, EndHeaders: true})
		}, http2.ErrCodeCompression, frame.BrokenHeaderBlock},
		{"a PING of seven bytes", func(s *peer) { s.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"a GOAWAY of four bytes", func(s *peer) { s.WriteRawFrame(http2.FrameGoAway, 0, 0, make([]byte, 4)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"SETTINGS of five bytes", func(s *peer) { s.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"SETTINGS of a stream", func(s *peer) { s.WriteRawFrame(http2.FrameSettings, 0, 3, nil) }, http2.ErrCodeProtocol, frame.BadStream},
		{"an acknowledgement with settings", func(s *peer) { s.WriteRawFrame(http2.FrameSettings, 1, 0, make([]byte, 6)) }, http2.ErrCodeFrameSize, frame.BadLength},
		{"SETTINGS_ENABLE_PUSH, which is a client's", func(s *peer) { s.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}) }, http2.ErrCodeProtocol, frame.BadSetting},
		{"SETTINGS_INITIAL_WINDOW_SIZE of 2^31", func(s *peer) { s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}) },
			http2.ErrCodeFlowControl, frame.BadSetting},
		{"a stream window beyond 2^31-1 by SETTINGS", func(s *peer) {
			s.WriteWindowUpdate(3, 1<<31-65536)
			s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65537})
		}, http2.ErrCodeFlowControl, frame.WindowOverflow},
		{"padding as long as the frame", func(s *peer) { s.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 3, []byte{2, 0}) }, http2.ErrCodeProtocol, frame.BadPadding},
		{"DATA of no stream", func(s *peer) { s.WriteRawFrame(http2.FrameData, 0, 0, []byte("x")) }, http2.ErrCodeProtocol, frame.BadStream},
		{"RST_STREAM of a stream that was not asked for", func(s *peer) { s.WriteRSTStream(9, http2.ErrCodeCancel) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"WINDOW_UPDATE of a stream that was not asked for", func(s *peer) { s.WriteWindowUpdate(9, 1) }, http2.ErrCodeProtocol, frame.IdleStream},
		{"CONTINUATION alone", func(s *peer) { s.WriteContinuation(5, true, nil) }, http2.ErrCodeProtocol, frame.LoneContinuation},
		{"PING within a block", func(s *peer) {
			s.begin(5)
			s.WritePing(false, [8]byte{})
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
		{"another stream's CONTINUATION within a block", func(s *peer) {
			s.begin(5)
			s.WriteContinuation(3, true, nil)
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
		{"an unknown frame within a block", func(s *peer) {
			s.begin(5)
			s.WriteRawFrame(0xfa, 0, 5, nil)
		}, http2.ErrCodeProtocol, frame.InterleavedHeaderBlock},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			c.get(5)
			s.want(asked("GET", 3)+" end", "")
			c.get(7)
			s.want(asked("GET", 5)+" end", "")
			s.ok(3, false)
			c.want("HEADERS 5 :status=200", "")
			row.do(s)
			s.goesAway(row.code, row.reason, "")
			r.violated("upstream " + row.reason.String())
			got := map[string]bool{}
			for range 2 {
				f := c.seen()
				for strings.HasPrefix(f, "DATA 5") {
					f = c.seen()
				}
				got[f] = true
			}
			if !got["RST_STREAM 5 INTERNAL_ERROR"] || !got["HEADERS 7 :status=502 end"] {
				t.Errorf("the client got %v, want the answer cut and an error", got)
			}
		})
	}
}

// begin sends the first part of an answer's head.
func (p *peer) begin(id uint32) {
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(":status=200")})
}

// What an endpoint may not do behind the end of its answer.
func TestNothingFollowsTheEndOfAnAnswer(t *testing.T) {
	for name, act := range map[string]func(s *peer){
		"DATA": func(s *peer) { s.WriteData(3, true, nil) }, "HEADERS": func(s *peer) { s.ok(3, true) },
	} {
		t.Run(name, func(t *testing.T) {
			r, c, s := pair(t, nil)
			c.post(3)
			s.want(asked("POST", 3), "")
			s.ok(3, true)
			act(s)
			s.goesAway(http2.ErrCodeStreamClosed, frame.EndedStream, "RFC 9113, section 5.1")
			r.violated("upstream " + frame.EndedStream.String())
		})
	}
}

// What is no error.
func TestToleranceTowardsServers(t *testing.T) {
	_, c, s := pair(t, nil)
	s.WriteRawFrame(0xfa, 0xff, 99, []byte("unknown"))
	s.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x03u=1")) // PRIORITY_UPDATE, RFC 9218
	s.WriteSettings(http2.Setting{ID: 0xfafa, Val: 1}, http2.Setting{ID: http2.SettingEnablePush})
	s.WritePriority(99, http2.PriorityParam{StreamDep: 3})
	s.WriteWindowUpdate(1, 1)
	s.WriteRSTStream(1, http2.ErrCodeNo)
	s.WriteSettingsAck()
	s.silence("none of it is an error, RFC 9113, sections 4.1 and 5.1")
	c.get(3)
	s.want(asked("GET", 3)+" end", "")
	s.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: s.block(":status=200"), EndStream: true, EndHeaders: true, PadLength: 7,
		Priority: http2.PriorityParam{StreamDep: 1, Weight: 3, Exclusive: true}})
	c.want("HEADERS 3 :status=200 end", "padding and priority are taken off")
}

// What ends an endpoint's stream only: the client gets an error before the answer has begun, and sees that it was cut after.
func TestRulesForServersStreams(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(s *peer)
		code string // of our RST_STREAM
	}{
		{"DATA before HEADERS", func(s *peer) { s.WriteData(3, true, nil) }, "PROTOCOL_ERROR"},
		{"no :status", func(s *peer) { s.head(3, true, "a=b") }, "PROTOCOL_ERROR"},
		{"status 101", func(s *peer) { s.head(3, false, ":status=101") }, "PROTOCOL_ERROR"},
		{"an interim answer that ends the stream", func(s *peer) { s.head(3, true, ":status=103") }, "PROTOCOL_ERROR"},
		{"a connection-specific field", func(s *peer) { s.ok(3, true, "connection=close") }, "PROTOCOL_ERROR"},
		{"no body where content-length says so", func(s *peer) { s.ok(3, true, "content-length=4") }, "PROTOCOL_ERROR"},
		{"a stream window beyond 2^31-1", func(s *peer) { s.WriteWindowUpdate(3, 1<<31-1) }, "FLOW_CONTROL_ERROR"},
		{"endless interim answers", func(s *peer) {
			for range maxInterim + 1 {
				s.head(3, false, ":status=103")
			}
		}, "ENHANCE_YOUR_CALM"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, c, s := pair(t, nil)
			c.get(3)
			s.want(asked("GET", 3)+" end", "")
			row.do(s)
			s.want("RST_STREAM 3 "+row.code, "")
			for f := c.seen(); f != "HEADERS 3 :status=502 end"; f = c.seen() {
				if f != "HEADERS 3 :status=103" {
					t.Fatalf("the client got %q", f)
				}
			}
			c.get(5)
			s.want(asked("GET", 5)+" end", "the connection goes on")
			s.ok(5, false, "content-length=3")
			c.want("HEADERS 5 :status=200 content-length=3", "")
			s.WriteData(5, false, []byte("1234"))
			s.want("RST_STREAM 5 PROTOCOL_ERROR", "more data than content-length says")
			c.want("RST_STREAM 5 PROTOCOL_ERROR", "the client sees that it was cut")
		})
	}
}
