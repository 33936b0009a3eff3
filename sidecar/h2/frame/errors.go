package frame

import "fmt"

// Code is an error code: RFC 9113, section 7.
type Code uint32

// The codes of RFC 9113, section 7.
const (
	NoError Code = iota
	ProtocolError
	InternalError
	FlowControlError
	SettingsTimeout
	StreamClosed
	FrameSizeError
	RefusedStream
	Cancel
	CompressionError
	ConnectError
	EnhanceYourCalm
	InadequateSecurity
	HTTP11Required
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY",
	"HTTP_1_1_REQUIRED"}

// String answers the code's name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint32(c))
}

// ConnError ends a connection: RFC 9113, section 5.4.1.
type ConnError struct {
	Code   Code
	Reason Reason
}

// Error says the code and the reason.
func (e *ConnError) Error() string { return e.Code.String() + ": " + e.Reason.String() }

// Reason says which rule the peer broke, or which limit it met.
type Reason uint8

// The reasons. NoReason is the zero value.
const (
	NoReason Reason = iota
	NotSettingsFirst
	FrameTooLarge
	BadLength
	BadStream
	BadPadding
	BadSetting
	BadIncrement
	WindowOverflow
	WindowExceeded
	BrokenHeaderBlock
	HeaderBlockTooLarge
	InterleavedHeaderBlock
	LoneContinuation
	TooManyContinuations
	IdleStream
	ClosedStream
	EndedStream
	StreamIDNotGrowing
	PushRefused
	SelfDependency
	TooManyStreams
	TooManyResets
	TooManyMalformed
	TooManyControlFrames
	PeerDoesNotRead
	SettingsNotAcknowledged
	PeerGone
	NotHTTP2

	Reasons // how many there are
)

var reasonNames = [Reasons]string{"none", "settings-not-first", "frame-too-large", "bad-length", "bad-stream-id", "bad-padding",
	"bad-setting", "bad-window-increment", "window-overflow", "window-exceeded", "broken-header-block", "header-block-too-large",
	"interleaved-header-block", "lone-continuation", "continuation-flood", "idle-stream", "closed-stream", "ended-stream",
	"stream-id-not-growing", "push", "self-dependency", "too-many-streams", "reset-flood", "malformed-flood", "control-flood",
	"peer-does-not-read", "settings-timeout", "peer-gone", "not-http2"}

// String answers the word used in metrics, logs and GOAWAY's debug data.
func (r Reason) String() string { return reasonNames[r] }
