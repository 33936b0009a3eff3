package head

import (
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/h2/hpack"
)

func TestResponsesAreCheckedAsRFC9113Says(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []hpack.Field
		status int
		length int64
		want   Reason
	}{
		{"the least that is allowed", list(":status 204"), 204, -1, reasonNone},
		{"with a length", list(":status 200", "content-length 7", "x y"), 200, 7, reasonNone},
		{"informational", list(":status 103", "link </a>"), 103, -1, reasonNone},
		{"switching protocols", list(":status 101"), 101, -1, SwitchingStatus},
		{"a status nobody knows", list(":status 999"), 999, -1, reasonNone},
		{"nothing", nil, 0, -1, MissingStatus},
		{"no status", list("a b"), 0, -1, MissingStatus},
		{"two statuses", list(":status 200", ":status 200"), 200, -1, RepeatedPseudo},
		{"a status behind a field", list(":status 200", "a b", ":status 200"), 200, -1, LatePseudo},
		{"only a status behind a field", list("a b", ":status 200"), 0, -1, MissingStatus},
		{"a status of two digits", list(":status 20"), 0, -1, BadStatus},
		{"a status of four digits", list(":status 2000"), 0, -1, BadStatus},
		{"a status that begins with zero", list(":status 099"), 0, -1, BadStatus},
		{"a status with a reason phrase", list(":status 200 OK"), 0, -1, BadStatus},
		{"a signed status", list(":status +20"), 0, -1, BadStatus},
		{"a request's pseudo-header field", list(":status 200", ":path /"), 200, -1, MisplacedPseudo},
		{"an unknown pseudo-header field", list(":status 200", ":x /"), 200, -1, UnknownPseudo},
		{"upper case", list(":status 200", "Server x"), 200, -1, UppercaseFieldName},
		{"connection", list(":status 200", "connection close"), 200, -1, ConnectionField},
		{"transfer-encoding", list(":status 200", "transfer-encoding chunked"), 200, -1, ConnectionField},
		{"LF in a value", list(":status 200", "server x\ny"), 200, -1, BadFieldValue},
		{"two lengths", list(":status 200", "content-length 1", "content-length 1"), 200, 1, RepeatedContentLength},
		{"a negative length", list(":status 200", "content-length -1"), 200, -1, BadContentLength},
		{"a message that ends in a space", list(":status 200", "grpc-status 2", "grpc-message no luck "), 200, -1, reasonNone},
	} {
		status, length, err := ParseResponse(c.fields)
		if got := reasonOf(t, err); got != c.want || status != c.status || length != c.length {
			t.Errorf("%s: %d, %d, %v; want %d, %d, %v", c.name, status, length, got, c.status, c.length, c.want)
		}
	}
}

func TestTrailersAreCheckedAsRFC9113Says(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []hpack.Field
		want   Reason
	}{
		{"nothing", nil, reasonNone},
		{"gRPC's", list("grpc-status 0", "grpc-message", "x-id-bin AAE"), reasonNone},
		{"a pseudo-header field of a request (h2spec 8.1.2.1)", list(":method GET"), MisplacedPseudo},
		{"a status", list("a b", ":status 200"), MisplacedPseudo},
		{"an unknown pseudo-header field", list(":x y"), MisplacedPseudo},
		{"upper case", list("Grpc-Status 0"), UppercaseFieldName},
		{"connection", list("connection close"), ConnectionField},
		{"CR in a value", list("grpc-message a\rb"), BadFieldValue},
		{"a name with a space", []hpack.Field{{Name: "a b"}}, BadFieldName},
	} {
		if got := reasonOf(t, CheckTrailers(c.fields)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestStatusOfGRPC(t *testing.T) {
	for _, c := range []struct {
		fields []hpack.Field
		code   int
		ok     bool
	}{
		{nil, 0, false},
		{list("grpc-message x"), 0, false},
		{list("grpc-message x", "grpc-status 14"), 14, true},
		{list(":status 200", "grpc-status 0"), 0, true},
		{list("grpc-status"), 0, false},
		{list("grpc-status -1"), 0, false},
		{list("grpc-status 99999"), 0, false},
	} {
		if code, ok := GRPCStatus(c.fields); code != c.code || ok != c.ok {
			t.Errorf("%v: %d, %v", c.fields, code, ok)
		}
	}
}
