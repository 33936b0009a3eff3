package head

import "fmt"

// Reason says what is wrong with a message. The same words appear in logs and metric labels. The zero value means that
// nothing is.
type Reason uint8

const (
	reasonNone Reason = iota

	// Fields: RFC 9113, sections 8.2.1 and 8.2.2.
	EmptyFieldName
	UppercaseFieldName
	BadFieldName
	BadFieldValue // NUL, CR or LF
	ConnectionField
	BadTE // a te field other than "trailers"

	// Pseudo-header fields: section 8.3.
	UnknownPseudo
	MisplacedPseudo // of a request in a response, or the reverse, or any in trailers
	LatePseudo      // behind a regular field
	RepeatedPseudo
	MissingMethod
	MissingScheme
	MissingPath
	MissingAuthority // in a CONNECT request
	MissingStatus
	BadMethod // no token
	BadScheme
	BadAuthority    // control characters or spaces
	BadPath         // empty, or control characters
	BadProtocol     // :protocol without CONNECT, or empty (RFC 8441)
	BadConnect      // :scheme or :path in a plain CONNECT request
	BadStatus       // not three digits
	SwitchingStatus // 101, which HTTP/2 does not have (section 8.6)

	// Regular fields.
	RepeatedHost
	RepeatedContentLength
	BadContentLength

	reasonCount
)

var reasonWords = [reasonCount]string{
	reasonNone:            "none",
	EmptyFieldName:        "empty field name",
	UppercaseFieldName:    "upper case in a field name",
	BadFieldName:          "malformed field name",
	BadFieldValue:         "malformed field value",
	ConnectionField:       "connection-specific field",
	BadTE:                 "te other than trailers",
	UnknownPseudo:         "unknown pseudo-header field",
	MisplacedPseudo:       "pseudo-header field out of place",
	LatePseudo:            "pseudo-header field behind regular ones",
	RepeatedPseudo:        "repeated pseudo-header field",
	MissingMethod:         "missing :method",
	MissingScheme:         "missing :scheme",
	MissingPath:           "missing :path",
	MissingAuthority:      "missing :authority",
	MissingStatus:         "missing :status",
	BadMethod:             "malformed :method",
	BadScheme:             "malformed :scheme",
	BadAuthority:          "malformed :authority",
	BadPath:               "malformed :path",
	BadProtocol:           "malformed :protocol",
	BadConnect:            ":scheme or :path in a CONNECT request",
	BadStatus:             "malformed :status",
	SwitchingStatus:       "status 101 in HTTP/2",
	RepeatedHost:          "repeated host",
	RepeatedContentLength: "repeated content-length",
	BadContentLength:      "malformed content-length",
}

// String is the reason in words.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonWords[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Malformed is the error for a message that breaks a rule of RFC 9113, section 8: a stream error of type PROTOCOL_ERROR
// (section 8.1.1). There is one for each Reason, so that refusing costs nothing.
type Malformed struct{ Reason Reason }

func (m *Malformed) Error() string { return "malformed message: " + m.Reason.String() }

var malformed = func() (all [reasonCount]Malformed) {
	for i := range all {
		all[i].Reason = Reason(i)
	}
	return all
}()

func refuse(r Reason) error { return &malformed[r] }
