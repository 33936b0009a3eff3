package frame

import "encoding/binary"

// The errors of payloads. All of them end the connection: where RFC 9113 asks for a stream error the connection may be ended as well
// (section 5.4), and a peer that cannot write frames is not to be trusted with the rest of them.
var (
	errBadLength  = &ConnError{FrameSizeError, BadLength}
	errBadStream  = &ConnError{ProtocolError, BadStream}
	errBadPadding = &ConnError{ProtocolError, BadPadding}
	errSelf       = &ConnError{ProtocolError, SelfDependency}
)

// Check answers an error for a header that breaks a rule about lengths and stream identifiers; max is the largest payload we allow.
func (h Header) Check(max uint32) *ConnError {
	if h.Length > max {
		return &ConnError{FrameSizeError, FrameTooLarge}
	}
	onStream, onConn, fixed := false, false, -1
	switch h.Type {
	case Data, Headers, Continuation:
		onStream = true
	case Priority:
		onStream, fixed = true, 5
	case ResetStream:
		onStream, fixed = true, 4
	case Settings:
		onConn = true
		if h.Length%6 != 0 || h.Flags.Has(Ack) && h.Length != 0 {
			return errBadLength
		}
	case Ping:
		onConn, fixed = true, PingLen
	case GoAway:
		onConn = true
		if h.Length < 8 {
			return errBadLength
		}
	case WindowUpdate:
		fixed = 4
	}
	switch {
	case onStream && h.Stream == 0, onConn && h.Stream != 0:
		return errBadStream
	case fixed >= 0 && int(h.Length) != fixed:
		return errBadLength
	}
	return nil
}

// DataOf answers a DATA frame's data without its padding.
func DataOf(h Header, payload []byte) ([]byte, *ConnError) {
	if !h.Flags.Has(Padded) {
		return payload, nil
	}
	return unpad(payload)
}

func unpad(p []byte) ([]byte, *ConnError) {
	if len(p) == 0 {
		return nil, errBadLength
	}
	pad := int(p[0])
	// "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this as a connection
	// error of type PROTOCOL_ERROR": section 6.1.
	if pad >= len(p) {
		return nil, errBadPadding
	}
	return p[1 : len(p)-pad], nil
}

// BlockOf answers the field block fragment of a HEADERS frame. Priorities are passed over (RFC 9113, section 5.3.2), but for a stream
// that depends on itself, which was an error of RFC 7540 and is nothing a client does by mistake.
func BlockOf(h Header, payload []byte) (block []byte, err *ConnError) {
	block = payload
	if h.Flags.Has(Padded) {
		if block, err = unpad(payload); err != nil {
			return nil, err
		}
	}
	if h.Flags.Has(WithPriority) {
		if len(block) < 5 {
			return nil, errBadLength
		}
		if dependency(block) == h.Stream {
			return nil, errSelf
		}
		block = block[5:]
	}
	return block, nil
}

// CheckPriority answers an error for a PRIORITY frame of a stream that depends on itself.
func CheckPriority(h Header, payload []byte) *ConnError {
	if dependency(payload) == h.Stream {
		return errSelf
	}
	return nil
}

func dependency(p []byte) uint32 { return binary.BigEndian.Uint32(p) &^ (1 << 31) }

// EachSetting calls f with each setting of a SETTINGS frame's payload, after checking its value.
func EachSetting(payload []byte, f func(Setting) *ConnError) *ConnError {
	for ; len(payload) >= 6; payload = payload[6:] {
		s := Setting{SettingID(binary.BigEndian.Uint16(payload)), binary.BigEndian.Uint32(payload[2:])}
		if err := s.check(); err != nil {
			return err
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// check holds a setting's value to RFC 9113, section 6.5.2, and RFC 8441, section 3.
func (s Setting) check() *ConnError {
	switch s.ID {
	case EnablePush, EnableConnectProtocol:
		if s.Value > 1 {
			return &ConnError{ProtocolError, BadSetting}
		}
	case InitialWindowSize:
		if s.Value > LargestWindow {
			return &ConnError{FlowControlError, BadSetting}
		}
	case MaxFrameSize:
		if s.Value < DefaultMaxSize || s.Value > LargestMaxSize {
			return &ConnError{ProtocolError, BadSetting}
		}
	}
	return nil
}

// Uint31 reads a WINDOW_UPDATE's increment or a GOAWAY's last stream from the front of p.
func Uint31(p []byte) uint32 { return binary.BigEndian.Uint32(p) &^ (1 << 31) }

// CodeOf reads an error code from the front of p.
func CodeOf(p []byte) Code { return Code(binary.BigEndian.Uint32(p)) }
