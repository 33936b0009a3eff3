package scatter

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"unicode/utf8"
)

// Answer is the list of what the endpoints answered.
type Answer struct {
	// Service is the Service port's name.
	Service string `json:"service"`
	// Status is the whole's: 200 where all answered with 2xx, 502 where none answered at all, else 207.
	Status int   `json:"status"`
	Pods   []Pod `json:"pods"`
}

// Pod is what one endpoint answered, in the order of the endpoints.
type Pod struct {
	Pod      string `json:"pod"`
	Endpoint string `json:"endpoint"`
	// Status is the answer's; 0, which is left out, where there was none or not all of it. Error says why then.
	Status  int     `json:"status,omitempty"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
	// Headers are left out, as the body is, where those before have as much as is passed on.
	Headers map[string][]string `json:"headers,omitempty"`
	// Body is the answer's body where that is UTF-8, else Base64 is. Where it is larger than what is passed on both are left out. Size is its
	// length in bytes and Digest the SHA-256 of it, in hexadecimal, in any case.
	Body   string `json:"body,omitempty"`
	Base64 string `json:"base64,omitempty"`
	Size   int64  `json:"size"`
	Digest string `json:"sha256,omitempty"`
}

// put takes a body; kept says whether it is passed on as well.
func (p *Pod) put(body []byte, size int64, digest []byte, kept bool) {
	p.Size, p.Digest = size, hex.EncodeToString(digest)
	switch {
	case !kept:
	case utf8.Valid(body):
		p.Body = string(body)
	default:
		p.Base64 = base64.StdEncoding.EncodeToString(body)
	}
}

// overall works the whole's status out.
func (a *Answer) overall() {
	answered, well := 0, 0
	for i := range a.Pods {
		switch s := a.Pods[i].Status; {
		case s/100 == 2:
			well++
			answered++
		case s != 0:
			answered++
		}
	}
	switch {
	case answered == 0:
		a.Status = http.StatusBadGateway
	case well == len(a.Pods):
		a.Status = http.StatusOK
	default:
		a.Status = http.StatusMultiStatus
	}
}

// JSON answers the text, with a line's end.
func (a *Answer) JSON() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil { // it has nothing that cannot be written
		panic(err)
	}
	return b.Bytes()
}

// written answers how many bytes a text takes in JSON, with its quotation marks.
func written(text []byte) (n int64) {
	n = 2
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == '"', r == '\\', r == '\n', r == '\r', r == '\t', r == '\b', r == '\f':
			n += 2
		case r < ' ', r == utf8.RuneError, r == '\u2028', r == '\u2029':
			n += 6 // as in \u2028
		default:
			n += int64(size)
		}
		text = text[size:]
	}
	return n
}

// writtenBody is the same for a body.
func writtenBody(b []byte) int64 {
	if utf8.Valid(b) {
		return written(b)
	}
	return int64(base64.StdEncoding.EncodedLen(len(b))) + 2
}
