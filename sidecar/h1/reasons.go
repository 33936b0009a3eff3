package h1

import (
	"errors"
	"fmt"
)

// Reason says why a message was refused. The same words appear in answers, logs and metric labels. The zero value means
// that nothing is wrong.
type Reason uint8

const (
	reasonNone Reason = iota

	// First line.
	BadRequestLine // not "method SP target SP HTTP/1.x"
	BadMethod      // the method is no token
	BadTarget      // empty, or control bytes or spaces in the target
	BadVersion     // not written "HTTP/" digit "." digit
	UnsupportedVersion
	BadStatusLine

	// Line ends and fields.
	TooManyEmptyLines // before the request line
	BareCR
	BareLF
	LeadingSpace // the line after the first one starts with white space
	ObsFold
	SpaceBeforeColon
	MissingColon
	EmptyFieldName
	BadFieldName
	BadFieldValue

	// Framing.
	BothLengths // Content-Length and Transfer-Encoding
	RepeatedContentLength
	BadContentLength
	BadTransferEncoding // no list of tokens, parameters on chunked, chunked twice or not last
	UnknownTransferCoding
	TransferEncodingInHTTP10
	BodyOnConnect

	// Host: RFC 9112, section 3.2.
	MissingHost
	RepeatedHost
	BadHost

	// Limits.
	LineTooLong // the first line alone exceeds the limit
	HeadTooLarge
	TooManyFields

	// Chunked bodies.
	BadChunkSize
	ChunkSizeOverflow
	BadChunkExtension
	ChunkExtensionTooLarge
	BadChunkEnd // no CRLF behind a chunk's data
	BadTrailer  // a trailer that would change the message's framing
	TrailerTooLarge

	// Answers that do not fit their request.
	UnaskedUpgrade

	reasonCount
)

var reasonWords = [reasonCount]string{
	reasonNone:               "none",
	BadRequestLine:           "malformed request line",
	BadMethod:                "malformed method",
	BadTarget:                "malformed request target",
	BadVersion:               "malformed protocol version",
	UnsupportedVersion:       "unsupported protocol version",
	BadStatusLine:            "malformed status line",
	TooManyEmptyLines:        "too many empty lines before the request",
	BareCR:                   "bare CR",
	BareLF:                   "bare LF",
	LeadingSpace:             "white space before the first header field",
	ObsFold:                  "folded header line",
	SpaceBeforeColon:         "space before colon",
	MissingColon:             "header line without colon",
	EmptyFieldName:           "empty header name",
	BadFieldName:             "malformed header name",
	BadFieldValue:            "control byte in header value",
	BothLengths:              "both content-length and transfer-encoding",
	RepeatedContentLength:    "several content-length",
	BadContentLength:         "malformed content-length",
	BadTransferEncoding:      "malformed transfer-encoding",
	UnknownTransferCoding:    "unsupported transfer coding",
	TransferEncodingInHTTP10: "transfer-encoding in HTTP/1.0",
	BodyOnConnect:            "body on connect",
	MissingHost:              "missing host",
	RepeatedHost:             "several host",
	BadHost:                  "malformed host",
	LineTooLong:              "first line too long",
	HeadTooLarge:             "head too large",
	TooManyFields:            "too many header fields",
	BadChunkSize:             "malformed chunk size",
	ChunkSizeOverflow:        "chunk size overflow",
	BadChunkExtension:        "malformed chunk extension",
	ChunkExtensionTooLarge:   "chunk extensions too large",
	BadChunkEnd:              "chunk data without line end",
	BadTrailer:               "trailer changes framing",
	TrailerTooLarge:          "trailer section too large",
	UnaskedUpgrade:           "upgrade that was not asked for",
}

// String answers the reason in words.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonWords[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Status answers the status code for a request refused for this reason. An upstream response refused for whatever
// reason is a 502 instead.
func (r Reason) Status() int {
	switch r {
	case LineTooLong:
		return 414
	case HeadTooLarge, TooManyFields, TrailerTooLarge:
		return 431
	case UnknownTransferCoding:
		// RFC 9112, section 6.1: "A server that receives a request message with a transfer coding it does not
		// understand SHOULD respond with 501 (Not Implemented)."
		return 501
	case UnsupportedVersion:
		return 505
	}
	return 400
}

// Reasons calls yield with every reason there is, for metrics that want all labels from the start.
func Reasons(yield func(Reason) bool) {
	for r := reasonNone + 1; r < reasonCount; r++ {
		if !yield(r) {
			return
		}
	}
}

// HeadError says why a message head cannot be parsed.
type HeadError struct {
	Reason Reason
	Offset int // of the line that is wrong, in the bytes given to Parse; the head's length when it is wrong as a whole
}

func (e *HeadError) Error() string {
	return fmt.Sprintf("h1: head, line at byte %d: %s", e.Offset, e.Reason)
}

// ChunkError says why a chunked body cannot be followed.
type ChunkError struct {
	Reason Reason
	Offset int // of the byte that is wrong, in the bytes given to Scan
}

func (e *ChunkError) Error() string {
	return fmt.Sprintf("h1: chunked body, byte %d: %s", e.Offset, e.Reason)
}

// ReasonOf answers the reason in err, which may be wrapped, and whether there is one.
func ReasonOf(err error) (Reason, bool) {
	var head *HeadError
	if errors.As(err, &head) {
		return head.Reason, true
	}
	var chunk *ChunkError
	if errors.As(err, &chunk) {
		return chunk.Reason, true
	}
	return reasonNone, false
}
