package frame

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/net/http2"
)

// judge reads the first frame of b as a connection does; whole is false where there is none yet.
func judge(b []byte) (h Header, rule *ConnError, whole bool) {
	if len(b) < HeaderLen {
		return h, nil, false
	}
	h = Parse(b)
	// Here the Framer waits for the payload, and we do not.
	if len(b) < HeaderLen+int(h.Length) {
		return h, nil, false
	}
	if err := h.Check(DefaultMaxSize); err != nil {
		return h, err, true
	}
	p := b[HeaderLen : HeaderLen+int(h.Length)]
	switch h.Type {
	case Data:
		_, rule = DataOf(h, p)
	case Headers:
		_, rule = BlockOf(h, p)
	case Priority:
		rule = CheckPriority(h, p)
	case Settings:
		rule = EachSetting(p, func(Setting) *ConnError { return nil })
	case WindowUpdate:
		if Uint31(p) == 0 {
			rule = &ConnError{ProtocolError, BadIncrement}
		}
	}
	return h, rule, true
}

// stock is what x/net says of the same bytes: which frame, and whether it breaks a rule.
func stock(b []byte) (f http2.Frame, broken bool) {
	r := http2.NewFramer(nil, bytes.NewReader(b))
	r.SetMaxReadFrameSize(DefaultMaxSize)
	r.AllowIllegalReads = true // what order frames come in is the connection's affair
	f, err := r.ReadFrame()
	return f, err != nil
}

// stricter reports whether we refuse on purpose what the Framer lets pass or leaves to its callers.
func stricter(h Header, rule *ConnError) bool {
	switch {
	case rule == nil:
		return false
	case rule.Reason == SelfDependency, rule.Reason == BadSetting:
		return true
	}
	return false
}

func compare(t *testing.T, b []byte) {
	t.Helper()
	h, rule, whole := judge(b)
	if !whole {
		return
	}
	if h.Type == PushPromise || h.Type > Continuation {
		return // refused, or passed over, by the connection
	}
	f, broken := stock(b)
	if (rule != nil) != broken && !stricter(h, rule) {
		t.Fatalf("%x: %+v: we say %v, the Framer %v (%v)", b, h, rule, broken, f)
	}
	if rule != nil || f == nil {
		return
	}
	if g := f.Header(); Type(g.Type) != h.Type || Flags(g.Flags) != h.Flags || g.StreamID != h.Stream || g.Length != h.Length {
		t.Fatalf("%x: we read %+v, the Framer %v", b, h, g)
	}
	p := b[HeaderLen : HeaderLen+int(h.Length)]
	switch f := f.(type) {
	case *http2.DataFrame:
		if d, _ := DataOf(h, p); !bytes.Equal(d, f.Data()) {
			t.Fatalf("%x: data %x, the Framer has %x", b, d, f.Data())
		}
	case *http2.HeadersFrame:
		if d, _ := BlockOf(h, p); !bytes.Equal(d, f.HeaderBlockFragment()) {
			t.Fatalf("%x: block %x, the Framer has %x", b, d, f.HeaderBlockFragment())
		}
	case *http2.RSTStreamFrame:
		if CodeOf(p) != Code(f.ErrCode) {
			t.Fatalf("%x: code %v, the Framer has %v", b, CodeOf(p), f.ErrCode)
		}
	case *http2.GoAwayFrame:
		if Uint31(p) != f.LastStreamID || CodeOf(p[4:]) != Code(f.ErrCode) {
			t.Fatalf("%x: %d %v, the Framer has %v", b, Uint31(p), CodeOf(p[4:]), f)
		}
	case *http2.WindowUpdateFrame:
		if Uint31(p) != f.Increment {
			t.Fatalf("%x: %d, the Framer has %d", b, Uint31(p), f.Increment)
		}
	case *http2.SettingsFrame:
		var got []http2.Setting
		EachSetting(p, func(s Setting) *ConnError {
			got = append(got, http2.Setting{ID: http2.SettingID(s.ID), Val: s.Value})
			return nil
		})
		for i, s := range got {
			if f.Setting(i) != s {
				t.Fatalf("%x: setting %d is %v, the Framer has %v", b, i, s, f.Setting(i))
			}
		}
	}
}

// written are frames as we write them.
func written() [][]byte {
	return [][]byte{
		AppendSettings(nil), AppendSettings(nil, Setting{InitialWindowSize, 1}, Setting{MaxFrameSize, 1 << 14}), AppendSettingsAck(nil),
		AppendPing(nil, 0, []byte("12345678")), AppendPing(nil, Ack, nil), AppendWindowUpdate(nil, 0, 1), AppendWindowUpdate(nil, 7, LargestWindow),
		AppendResetStream(nil, 3, RefusedStream), AppendGoAway(nil, 5, EnhanceYourCalm, "reset-flood"), AppendData(nil, 1, []byte("abc"), true),
		AppendData(nil, 1, nil, false),
	}
}

func TestWhatIsWrittenIsReadByTheStockFramer(t *testing.T) {
	for _, b := range written() {
		if f, broken := stock(b); broken || f == nil {
			t.Errorf("%x: %v", b, f)
		}
		compare(t, b)
	}
}

func TestFramesAreReadAsByTheStockFramer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := 200_000
	if testing.Short() {
		n /= 10
	}
	for range n {
		b := Header{Length: uint32(r.IntN(24)), Type: Type(r.IntN(11)), Flags: Flags(r.UintN(256) & r.UintN(256)), Stream: uint32(r.IntN(4))}.Append(nil)
		for range 24 {
			b = append(b, byte(r.UintN(256)&r.UintN(256)&r.UintN(256)))
		}
		compare(t, b)
	}
}

func FuzzFrame(f *testing.F) {
	for _, b := range written() {
		f.Add(b)
	}
	f.Add([]byte("\x00\x00\x06\x01\x28\x00\x00\x00\x01\x00\x00\x00\x00\x03\x10"))
	f.Fuzz(func(t *testing.T, b []byte) { compare(t, b) })
}
