package h1

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden files")

// vector is one request, or a few in a row, of somebody else's test suite.
type vector struct {
	ID      string
	Desc    string
	Payload string
	// llhttp's verdict, "" when it accepts, and whether it was reached in one of its lenient modes.
	Error   string
	Lenient bool
	// http-desync-guardian's verdict.
	Tier, Reason string
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(text, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// bytes answers the payload as it goes over the wire: code points below 256 stand for bytes unless greater ones show that
// the text is meant as UTF-8.
func (v vector) bytes() []byte {
	var out []byte
	for _, c := range v.Payload {
		if c > 0xff {
			return []byte(v.Payload)
		}
		out = append(out, byte(c))
	}
	return out
}

// judge follows the requests in b as a server would and answers the reason it refuses one of them for. The vectors are
// about other things than Host and most leave it out, so that one is added where it is missing; llhttp's also end
// their input where they please, so that a head that was cut off is ended.
func judge(b []byte) Reason {
	var r Request
	for len(b) > 0 {
		n, err := r.Parse(b, 0)
		if reason, ok := ReasonOf(err); ok && reason == MissingHost {
			line := len(b) - len(bytes.TrimLeft(b, "\r\n"))
			line += bytes.IndexByte(b[line:], '\n') + 1
			b = append(append(bytes.Clone(b[:line]), "Host: a\r\n"...), b[line:]...)
			continue
		} else if ok {
			return reason
		}
		if n == 0 && len(bytes.TrimLeft(b, "\r\n")) == 0 {
			return reasonNone
		}
		if n == 0 {
			b = append(bytes.Clone(b), "\r\n\r\n"...)
			continue
		}
		b = b[n:]
		switch r.Body {
		case Length:
			b = b[min(int64(len(b)), r.Length):]
		case Chunked:
			var c Chunks
			n, _, err := c.Scan(b)
			if reason, ok := ReasonOf(err); ok {
				return reason
			}
			b = b[n:]
		}
		if r.Upgrade != nil || string(r.Method) == "CONNECT" || !r.Persistent {
			return reasonNone // what follows is not HTTP, or not looked at
		}
	}
	return reasonNone
}

func TestVectorsOfLlhttp(t *testing.T) {
	// Where we accept what llhttp refuses, or the other way round, and why.
	differences := map[string]string{
		"LLHTTP-connection-02":        "what follows the last request of a connection is not looked at",
		"LLHTTP-invalid-03":           "any token is a method",
		"LLHTTP-invalid-13":           "any token is a method",
		"LLHTTP-connection-20":        "an upgrade to HTTP/2 is never offered upstream: what follows is the next request",
		"LLHTTP-finish-02":            "cut off within a line, which the line end added here makes wrong",
		"LLHTTP-method-03":            "a CONNECT that announces a body is ambiguous: RFC 9110, section 9.3.6",
		"LLHTTP-method-11":            "ICE is not HTTP",
		"LLHTTP-method-12":            "RTSP is not HTTP",
		"LLHTTP-method-13":            "RTSP is not HTTP",
		"LLHTTP-sample-09":            "HTTP/0.9 is not accepted",
		"LLHTTP-transfer-encoding-08": "an empty chunk extension hides nothing",
		"LLHTTP-transfer-encoding-19": "a coding besides chunked is 501: RFC 9112, section 6.1",
		"LLHTTP-transfer-encoding-20": "a coding besides chunked is 501: RFC 9112, section 6.1",
		"LLHTTP-uri-06":               "obs-text in a target is passed on, as most servers take it",
	}
	var out strings.Builder
	for _, v := range readVectors(t, "llhttp.json") {
		ours := judge(v.bytes())
		// Upgrade and CONNECT end the HTTP part of a connection; llhttp reports that as an error of a kind.
		accepts := v.Error == "" || v.Error == "Pause on CONNECT/Upgrade"
		note := ""
		switch why, explained := differences[v.ID]; {
		case v.Lenient:
			note = " (their lenient mode)"
		case accepts != (ours == reasonNone) && !explained:
			t.Errorf("%s, %s: ours %q, llhttp %q\n%q", v.ID, v.Desc, ours, v.Error, v.Payload)
		case accepts == (ours == reasonNone) && explained:
			t.Errorf("%s: no difference any more, yet explained", v.ID)
		case explained:
			note = " (" + why + ")"
		}
		fmt.Fprintf(&out, "%s | %s | %s%s\n", v.ID, verdict(v.Error), ours.verdict(), note)
	}
	golden(t, "llhttp.golden", out.String())
}

func TestVectorsOfHTTPDesyncGuardian(t *testing.T) {
	// Requests it lets pass, or warns of, and we refuse, by our reason.
	refused := map[Reason]string{
		SpaceBeforeColon:         "RFC 9112, section 5.1, has 400 for it",
		BadFieldName:             "no token, so two servers may read two names",
		EmptyFieldName:           "no token",
		BadFieldValue:            "control bytes in values are cut, kept or replaced by different servers",
		BadRequestLine:           "HTTP/0.9, spaces too many or an empty target",
		BadTarget:                "spaces and control bytes in a target are split differently",
		UnsupportedVersion:       "only 1.0 and 1.1 are HTTP/1",
		BadVersion:               "only 1.0 and 1.1 are HTTP/1",
		LeadingSpace:             "hides a line: RFC 9112, section 2.2",
		ObsFold:                  "hides a line: RFC 9112, section 5.2",
		RepeatedContentLength:    "also when equal: one more list to disagree about",
		BothLengths:              "RFC 9112, section 6.3: ought to be handled as an error",
		TransferEncodingInHTTP10: "faulty framing: RFC 9112, section 6.1",
		UnknownTransferCoding:    "501 by RFC 9112, section 6.1",
		BadTransferEncoding:      "chunked has no parameters: RFC 9112, section 7.1",
	}
	var out strings.Builder
	for _, v := range readVectors(t, "desync-guardian.json") {
		ours := judge(v.bytes())
		if v.Tier == "Severe" && ours == reasonNone {
			t.Errorf("%s, %s: severe and accepted\n%q", v.ID, v.Desc, v.Payload)
		}
		if _, explained := refused[ours]; v.Tier != "Severe" && ours != reasonNone && !explained {
			t.Errorf("%s, %s: %s and refused for %q\n%q", v.ID, v.Desc, v.Tier, ours, v.Payload)
		}
		fmt.Fprintf(&out, "%s | %s %s | %s\n", v.ID, v.Tier, v.Reason, ours.verdict())
	}
	golden(t, "desync-guardian.golden", out.String())
}

func (r Reason) verdict() string {
	if r == reasonNone {
		return "accepted"
	}
	return r.String()
}

func verdict(err string) string {
	if err == "" {
		return "accepted"
	}
	return err
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	theirs := strings.Split(string(want), "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(theirs) || line != theirs[i] {
			t.Errorf("%s, line %d:\n got %s\nwant %s", path, i+1, line, append(theirs, make([]string, i+1)...)[i])
		}
	}
}
