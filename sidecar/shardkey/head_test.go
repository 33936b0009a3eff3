package shardkey

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestKeysInTheHead(t *testing.T) {
	var x Extraction
	for _, c := range []struct {
		what, key, normalize string
		head                 head
		want                 string
	}{
		{"a header's value as it is", "header:Account-ID", "", head{lines: []string{"account-id: AbC, d"}}, "AbC, d"},
		{"its name in any case", "header:account-id", "", head{lines: []string{"ACCOUNT-ID: 7"}}, "7"},
		{"a header that is not there", "header:a", "", head{lines: []string{"b: 7"}}, "<absent>"},
		{"a header that is empty", "header:a", "", head{lines: []string{"a:"}}, "<absent>"},
		{"a header twice", "header:a", "", head{lines: []string{"a: 7", "a: 8"}}, "<several>"},
		{"the same header twice", "header:a", "", head{lines: []string{"a: 7", "a: 7"}}, "7"},
		{"gRPC's binary metadata without its padding", "header:id-bin", "", head{lines: []string{"id-bin: AQI="}}, "AQI"},
		{"a header in small letters", "header:a", "lower", head{lines: []string{"a: ÄBC"}}, "Äbc"},
		{"a header decoded, then trimmed", "header:a", "trim,decode", head{lines: []string{"a: %20a%2Bb+%20"}}, "a+b+"},
		{"a header that cannot be decoded", "header:a", "decode", head{lines: []string{"a: 100%"}}, "<bad>"},
		{"a header that is nothing once it is trimmed", "header:a", "decode,trim", head{lines: []string{"a: %20"}}, "<absent>"},

		{"a cookie", "cookie:sid", "", head{lines: []string{"cookie: a=1; sid=7; b=2"}}, "7"},
		{"a cookie in quotation marks", "cookie:sid", "", head{lines: []string{`cookie: sid="7 8"`}}, "7 8"},
		{"a cookie's value may have an equals sign", "cookie:sid", "", head{lines: []string{"cookie: sid=a=="}}, "a=="},
		{"cookies in several lines, as HTTP/2 has them", "cookie:sid", "", head{lines: []string{"cookie: a=1", "cookie: sid=7"}}, "7"},
		{"another cookie's name ends the same", "cookie:sid", "", head{lines: []string{"cookie: xsid=1; sidx=2"}}, "<absent>"},
		{"cookies' names have a case", "cookie:sid", "", head{lines: []string{"cookie: SID=7"}}, "<absent>"},
		{"a name without a value is no cookie", "cookie:sid", "", head{lines: []string{"cookie: sid; a=1"}}, "<absent>"},
		{"an empty cookie", "cookie:sid", "", head{lines: []string{"cookie: sid="}}, "<absent>"},
		{"a cookie twice", "cookie:sid", "", head{lines: []string{"cookie: sid=1; sid=2"}}, "<several>"},
		{"the same cookie twice", "cookie:sid", "", head{lines: []string{"cookie: sid=1", "cookie: sid=1"}}, "1"},
		{"the same cookie twice, the second longer", "cookie:sid", "", head{lines: []string{"cookie: sid=1; sid=12"}}, "<several>"},

		{"a query parameter", "query:id", "", head{target: "/a?x=1&id=7&y"}, "7"},
		{"decoded", "query:id", "", head{target: "/a?%69d=a%20b+c%2B"}, "a b c+"},
		{"its name decoded too", "query:a b", "", head{target: "/a?a+b=7"}, "7"},
		{"a parameter that cannot be decoded", "query:id", "", head{target: "/a?id=%4"}, "<bad>"},
		{"another parameter that cannot be decoded", "query:id", "", head{target: "/a?%4=1&%zz&id=7"}, "7"},
		{"no parameter", "query:id", "", head{target: "/a?idx=7&i=8"}, "<absent>"},
		{"no query", "query:id", "", head{target: "/id=7"}, "<absent>"},
		{"a parameter without a value", "query:id", "", head{target: "/a?id"}, "<absent>"},
		{"a parameter twice", "query:id", "", head{target: "/a?id=1&id=2"}, "<several>"},
		{"the same parameter twice, written differently", "query:id", "", head{target: "/a?id=A&id=%41"}, "A"},
		{"a semicolon is part of the value", "query:id", "", head{target: "/a?id=1;id=2"}, "1;id=2"},
		{"a fragment is no part of it", "query:id", "", head{target: "/a?id=1#x"}, "1"},

		{"a path's segment", "path:/accounts/{key}", "", head{target: "/accounts/7"}, "7"},
		{"the path may go on", "path:/accounts/{key}", "", head{target: "/accounts/7/orders?x=/accounts/8"}, "7"},
		{"a slash in the key", "path:/accounts/{key}", "", head{target: "/accounts/a%2Fb+c"}, "a/b+c"},
		{"any segment", "path:/v*/*/{key}", "", head{target: "/v*/x/7"}, "7"},
		{"a segment that is no star", "path:/*/{key}", "", head{target: "/accounts/7"}, "7"},
		{"an encoded star is a star", "path:/%2A/{key}", "", head{target: "/accounts/7"}, "<absent>"},
		{"what is beside the key in its segment", "path:/users/u-{key}.json", "", head{target: "/users/u-7.json"}, "7"},
		{"and is not there", "path:/users/u-{key}.json", "", head{target: "/users/u-7.xml"}, "<absent>"},
		{"and leaves nothing for the key", "path:/users/u-{key}.json", "", head{target: "/users/u-.json"}, "<absent>"},
		{"and overlaps", "path:/ab{key}ba", "", head{target: "/aba"}, "<absent>"},
		{"another path", "path:/accounts/{key}", "", head{target: "/account/7"}, "<absent>"},
		{"a path that is too short", "path:/accounts/{key}", "", head{target: "/accounts"}, "<absent>"},
		{"an empty segment", "path:/accounts/{key}", "", head{target: "/accounts//7"}, "<absent>"},
		{"the template written with escapes", "path:/a%20b/{key}", "", head{target: "/a%20%62/7"}, "7"},
		{"escapes beside the key in its segment", "path:/u%2D{key}%2ejson", "", head{target: "/u-7.json"}, "7"},
		{"and in the request", "path:/u-{key}.json", "", head{target: "/%75%2D7%2Ejson"}, "7"},
		{"a slash beside the key", "path:/a%2F{key}/b", "", head{target: "/a%2f7/b"}, "7"},
		{"and none", "path:/a%2F{key}", "", head{target: "/a/7"}, "<absent>"},
		{"braces beside the key", "path:/%7B{key}%7D", "", head{target: "/{7}"}, "7"},
		{"a percent sign beside the key", "path:/%25{key}", "", head{target: "/%257"}, "7"},
		{"a segment that cannot be decoded", "path:/accounts/{key}", "", head{target: "/accounts/%g1"}, "<bad>"},
		{"another segment that cannot be decoded", "path:/accounts/{key}", "", head{target: "/account%/7"}, "<absent>"},
		{"the absolute form", "path:/accounts/{key}", "", head{target: "http://shop.test/accounts/7?a"}, "7"},
		{"the absolute form without a path", "path:/{key}", "", head{target: "http://shop.test"}, "<absent>"},
		{"the asterisk form", "path:/{key}", "", head{target: "*"}, "<absent>"},

		{"the client's address", "source-ip", "", head{client: "10.0.0.7"}, "10.0.0.7"},
		{"an IPv4 address in IPv6", "source-ip", "", head{client: "::ffff:10.0.0.7"}, "10.0.0.7"},
		{"an IPv6 address without its zone", "source-ip", "", head{client: "fe80::1%eth0"}, "fe80::1"},
		{"no address", "source-ip", "", head{}, "<absent>"},

		{"several parts", "header:a, query:b", "", head{target: "/?b=2", lines: []string{"a: 1"}}, "1,2"},
		{"a comma in a part", "header:a,query:b", "", head{target: "/?b=2,3", lines: []string{`a: 1\`}}, `1\\,2\,3`},
		{"one part that is not there", "header:a,query:b", "", head{target: "/", lines: []string{"a: 1"}}, "<absent>"},
	} {
		if got := keyOf(&x, mustParse(t, c.key, c.normalize), &c.head, ""); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestThePlaceThatDecided(t *testing.T) {
	var x Extraction
	s := mustParse(t, "header:a,query:b,source-ip", "")
	if o := x.Begin(s, &head{target: "/?b=1&b=2", lines: []string{"a: 1"}}); o != Several || x.Place() != "query:b" {
		t.Errorf("%v at %q, want several at query:b", o, x.Place())
	}
}

func TestCompositeKeysOfDifferentPartsDiffer(t *testing.T) {
	texts := []string{"", ",", `\`, "a", "a,", ",a", `a\`, `\a`, `\,`, `,\`, "a,b"}
	seen := map[string][2]string{}
	for _, a := range texts {
		for _, b := range texts {
			joined := string(Join(nil, []byte(a), []byte(b)))
			if other, dup := seen[joined]; dup {
				t.Errorf("%q and %q: both are %q", other, [2]string{a, b}, joined)
			}
			seen[joined] = [2]string{a, b}
		}
	}
}

func TestHeadKeysDoNotAllocate(t *testing.T) {
	for _, key := range []string{"header:a", "cookie:sid", "query:id", "path:/accounts/{key}", "source-ip", "header:a,query:id"} {
		s, h := mustParse(t, key, "lower,trim"), &fixed{}
		var x Extraction
		x.Begin(s, h)
		if n := testing.AllocsPerRun(100, func() {
			if x.Begin(s, h) != Found {
				t.Fatal(x.state)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", key, n)
		}
	}
}

// FuzzQuery compares with net/url, where that reads all of a query.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"id=7", "a=1&id=%41+b", "id=1&id=2", "%69d=x&=&&", "id", "id=%zz"} {
		f.Add(s)
	}
	s := mustParse(f, "query:id", "")
	f.Fuzz(func(t *testing.T, raw string) {
		var x Extraction
		got := keyOf(&x, s, &head{target: "/?" + raw}, "")
		values, err := url.ParseQuery(raw)
		if err != nil || strings.ContainsAny(raw, "#") {
			return
		}
		if want := oneOf(values["id"]); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	})
}

// FuzzCookie compares with net/http, where that takes all the bytes.
func FuzzCookie(f *testing.F) {
	for _, s := range []string{"sid=7", "a=1; sid=7;b=2", `sid="7"`, "sid=1; sid=2", "sid", "=;;sid=x="} {
		f.Add(s)
	}
	s := mustParse(f, "cookie:sid", "")
	f.Fuzz(func(t *testing.T, raw string) {
		var x Extraction
		got := keyOf(&x, s, &head{lines: []string{"cookie:" + raw}}, "")
		for _, c := range []byte(raw) {
			if c < ' ' || c >= 0x7f || c == '\\' || c == '"' {
				return
			}
		}
		var values []string
		for _, c := range (&http.Request{Header: http.Header{"Cookie": {strings.TrimSpace(raw)}}}).CookiesNamed("sid") {
			values = append(values, c.Value)
		}
		if !strings.Contains(raw, "sid=") { // a name without a value is a cookie to net/http
			return
		}
		if want := oneOf(values); got != want && strings.Count(raw, "sid") == 1 {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	})
}

// oneOf answers what becomes of several values.
func oneOf(values []string) string {
	if len(values) == 0 {
		return "<absent>"
	}
	for _, v := range values {
		if v != values[0] {
			return "<several>"
		}
	}
	if values[0] == "" {
		return "<absent>"
	}
	return values[0]
}

// FuzzPath compares with a template matched by splitting and net/url.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/accounts/7", "/accounts/a%2Fb/x", "//7", "/a", "*", "http://x/accounts/7", "/accounts/%"} {
		f.Add(s)
	}
	s := mustParse(f, "path:/accounts/*/{key}", "")
	f.Fuzz(func(t *testing.T, target string) {
		var x Extraction
		got := keyOf(&x, s, &head{target: target}, "")
		if !strings.HasPrefix(target, "/") {
			return
		}
		path, _, _ := strings.Cut(target, "?")
		path, _, _ = strings.Cut(path, "#")
		segments := strings.Split(path[1:], "/")
		want := "<absent>"
		if first, err := url.PathUnescape(segments[0]); err == nil && first == "accounts" && len(segments) > 2 {
			key, err := url.PathUnescape(segments[2])
			switch {
			case err != nil:
				want = "<bad>"
			case key != "":
				want = key
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	})
}
