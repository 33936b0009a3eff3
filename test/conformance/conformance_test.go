package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseLine(t *testing.T) {
	for _, c := range []struct {
		line, name string
		want       verdict
		ok         bool
	}{
		{"ok get/HTTP_2", "get/HTTP_2", verdict{ok: true}, true},
		{"ok test.a.B.c 1.5 ", "test.a.B.c", verdict{ok: true, took: 1500 * time.Millisecond}, true},
		{"not ok x AssertionError: 1 != 2", "x", verdict{detail: "AssertionError: 1 != 2"}, true},
		{"not ok x 0.25 why not", "x", verdict{detail: "why not", took: 250 * time.Millisecond}, true},
		{"okay, said the server", "", verdict{}, false},
	} {
		name, v, ok := parseLine(c.line)
		if name != c.name || ok != c.ok || ok && v != c.want {
			t.Errorf("%q: got %q, %+v, %v", c.line, name, v, ok)
		}
	}
}

func TestFrame(t *testing.T) {
	const host = "Host: a\r\n"
	for _, c := range []struct {
		name, payload string
		framed        []string
		refused       bool
	}{
		{"two requests", "GET / HTTP/1.1\r\n" + host + "\r\nGET /b HTTP/1.1\r\n" + host + "\r\n",
			[]string{"GET /, 0 bytes of body", "GET /b, 0 bytes of body"}, false},
		{"bodies", "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nokPOST /b HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			[]string{"POST /, 2 bytes of body", "POST /b, 3 bytes of body"}, false},
		{"a Host is added", "GET / HTTP/1.1\r\n\r\n", []string{"GET /, 0 bytes of body"}, false},
		{"a head that was cut off is ended", "GET / HTTP/1.1", []string{"GET /, 0 bytes of body"}, false},
		{"a body that was cut off frames nothing", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nok", nil, false},
		{"what is wrong frames nothing", "GET / HTTP/1.1\r\n" + host + "\r\nGET / HTTP/1.1\r\nX : y\r\n\r\n", []string{"GET /, 0 bytes of body"}, true},
	} {
		if _, framed, refused := frame([]byte(c.payload)); !slices.Equal(framed, c.framed) || refused != c.refused {
			t.Errorf("%s: got %q, %v", c.name, framed, refused)
		}
	}
}

func TestDifferencesNeedAReason(t *testing.T) {
	s := &suite{name: "s", source: "somewhere", differences: []difference{{"known*", "", "because"}, {"pooled", asAService, "shared"}}}
	rep := &report{suite: s, ratio: map[string]float64{throughUs: 1.3}, results: map[string]results{
		directly:   {"a": {ok: true}, "bad": {}, "known/1": {ok: true}, "pooled": {ok: true}},
		throughUs:  {"a": {ok: true}, "bad": {}, "known/1": {detail: "x"}, "pooled": {detail: "why"}},
		asAService: {"a": {ok: true}, "bad": {}, "known/1": {ok: true}, "pooled": {detail: "x"}},
	}}
	var out strings.Builder
	if n := table(&out, []*report{rep}); n != 2 {
		t.Errorf("%d differences without a reason, want 2: pooled through Sluice, and the time", n)
	}
	for _, want := range []string{"  because\n    s, Sluice: known/1\n", "  shared\n    s, as a Service: pooled\n",
		"  NO REASON: why\n    s, Sluice: pooled\n", "  NO REASON: 1.30 times as long as directly, at most 1.2\n    s, Sluice: time\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
}

func TestEveryReasonIsForOneOfOurColumns(t *testing.T) {
	for _, s := range suites {
		for _, d := range s.differences {
			if d.reason == "" || d.column != "" && d.column != throughUs && d.column != asAService {
				t.Errorf("%s: %+v", s.name, d)
			}
		}
	}
}
