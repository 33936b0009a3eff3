// Package frame is the wire format of HTTP/2 frames (RFC 9113, sections 4 and 6): headers and payloads in, payloads checked, frames
// appended to buffers. It keeps no state and allocates nothing but errors.
package frame

import "encoding/binary"

// Type is a frame's type; unknown ones are passed over (RFC 9113, section 5.5).
type Type uint8

// The types of RFC 9113, section 6.
const (
	Data Type = iota
	Headers
	Priority
	ResetStream
	Settings
	PushPromise
	Ping
	GoAway
	WindowUpdate
	Continuation
)

// Flags are a frame's flags; what a bit means depends on the type.
type Flags uint8

// The flags of RFC 9113, section 6.
const (
	EndStream    Flags = 0x1
	Ack          Flags = 0x1
	EndHeaders   Flags = 0x4
	Padded       Flags = 0x8
	WithPriority Flags = 0x20
)

// Has reports whether all bits of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

const (
	// HeaderLen is the length of a frame's header in bytes: RFC 9113, section 4.1.
	HeaderLen = 9
	// DefaultMaxSize is the largest payload without a SETTINGS_MAX_FRAME_SIZE, and the least of that: section 6.5.2.
	DefaultMaxSize = 1 << 14
	// LargestMaxSize is the largest SETTINGS_MAX_FRAME_SIZE.
	LargestMaxSize = 1<<24 - 1
	// DefaultWindow is a flow-control window without SETTINGS_INITIAL_WINDOW_SIZE: section 6.9.2.
	DefaultWindow = 65535
	// LargestWindow is the largest flow-control window: section 6.9.1.
	LargestWindow = 1<<31 - 1
)

// ClientPreface is what a client sends first: RFC 9113, section 3.4.
const ClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Header is the header of a frame.
type Header struct {
	Length uint32 // of the payload in bytes
	Type   Type
	Flags  Flags
	Stream uint32
}

// Parse reads a frame's header; b has at least HeaderLen bytes.
func Parse(b []byte) Header {
	_ = b[8]
	return Header{
		Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:   Type(b[3]), Flags: Flags(b[4]),
		// "Reserved: … MUST be ignored when receiving": section 4.1.
		Stream: binary.BigEndian.Uint32(b[5:]) &^ (1 << 31),
	}
}

// Append appends a frame's header.
func (h Header) Append(b []byte) []byte {
	return append(b, byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags),
		byte(h.Stream>>24), byte(h.Stream>>16), byte(h.Stream>>8), byte(h.Stream))
}

// Put writes a frame's header over the first HeaderLen bytes of b.
func (h Header) Put(b []byte) { h.Append(b[:0]) }

// SettingID names a setting.
type SettingID uint16

// The settings of RFC 9113, section 6.5.2, and RFC 8441.
const (
	HeaderTableSize       SettingID = 1
	EnablePush            SettingID = 2
	MaxConcurrentStreams  SettingID = 3
	InitialWindowSize     SettingID = 4
	MaxFrameSize          SettingID = 5
	MaxHeaderListSize     SettingID = 6
	EnableConnectProtocol SettingID = 8
)

// Setting is one setting.
type Setting struct {
	ID    SettingID
	Value uint32
}

// AppendSettings appends a SETTINGS frame.
func AppendSettings(b []byte, settings ...Setting) []byte {
	b = Header{Length: uint32(6 * len(settings)), Type: Settings}.Append(b)
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Value)
	}
	return b
}

// AppendSettingsAck appends the acknowledgement of a SETTINGS frame.
func AppendSettingsAck(b []byte) []byte { return Header{Type: Settings, Flags: Ack}.Append(b) }

// PingLen is the length of a PING's payload.
const PingLen = 8

// AppendPing appends a PING with at most PingLen bytes of data.
func AppendPing(b []byte, flags Flags, data []byte) []byte {
	b = Header{Length: PingLen, Type: Ping, Flags: flags}.Append(b)
	var p [PingLen]byte
	copy(p[:], data)
	return append(b, p[:]...)
}

// AppendWindowUpdate appends a WINDOW_UPDATE; stream 0 is the connection.
func AppendWindowUpdate(b []byte, stream, increment uint32) []byte {
	b = Header{Length: 4, Type: WindowUpdate, Stream: stream}.Append(b)
	return binary.BigEndian.AppendUint32(b, increment)
}

// AppendResetStream appends an RST_STREAM.
func AppendResetStream(b []byte, stream uint32, code Code) []byte {
	b = Header{Length: 4, Type: ResetStream, Stream: stream}.Append(b)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

// AppendGoAway appends a GOAWAY; last is the last stream that was or may be processed.
func AppendGoAway(b []byte, last uint32, code Code, debug string) []byte {
	b = Header{Length: uint32(8 + len(debug)), Type: GoAway}.Append(b)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, debug...)
}

// AppendData appends a DATA frame.
func AppendData(b []byte, stream uint32, data []byte, end bool) []byte {
	h := Header{Length: uint32(len(data)), Type: Data, Stream: stream}
	if end {
		h.Flags = EndStream
	}
	return append(h.Append(b), data...)
}
