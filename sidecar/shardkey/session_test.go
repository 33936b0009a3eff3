package shardkey

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	for text, want := range map[string]http.Cookie{
		"sid":                      {Name: "sid", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
		" sid ; path=/app; secure": {Name: "sid", Path: "/app", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode},
		"sid;Max-Age=1h;SameSite=Strict": {Name: "sid", Path: "/", HttpOnly: true, MaxAge: 3600,
			SameSite: http.SameSiteStrictMode},
		"sid;samesite=none;secure": {Name: "sid", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode},
	} {
		s, err := ParseSession(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		line := string(s.AppendSetCookie(nil, []byte("1abcDEF_-789")))
		got, err := http.ParseSetCookie(line)
		if err != nil || got.Value != "1abcDEF_-789" {
			t.Errorf("%q: %q: %v", text, line, err)
			continue
		}
		got.Raw, got.Value = "", ""
		if got.String() != want.String() {
			t.Errorf("%q: %q, want %q", text, got, &want)
		}

		var x Extraction
		h := &head{lines: []string{"cookie: a=1; sid=1abcDEF_-789"}}
		if ok := x.Session(&s, h, func([]byte) bool { return true }); !ok || string(x.Key().Text) != "1abcDEF_-789" {
			t.Errorf("%q comes back as %q", text, x.Key().Text)
		}
	}
	if s, _ := ParseSession("sid;max-age=90m"); s.MaxAge != 90*time.Minute {
		t.Errorf("%v", s.MaxAge)
	}
}

func TestWhichCookieIsTheSession(t *testing.T) {
	s := Session{Name: "sid", Path: "/"}
	var x Extraction
	for _, c := range []struct{ lines, want string }{
		{"a: b", ""},
		{"cookie: sid", ""},
		{"cookie: sid=; sid=\"\"", ""},
		{"cookie: sid=1", "1"},
		{"cookie: sid=1; sid=2", "1"},
		{"cookie: sid=1; sid=good2; sid=good3", "good2"},
		{"cookie: sid=; sid=\"1\"; sid2=good", "1"},
		{"cookie: sid=1\na: b\ncookie: b=c; sid=\"good2\"", "good2"},
	} {
		ok := x.Session(&s, &head{lines: strings.Split(c.lines, "\n")}, func(value []byte) bool { return strings.HasPrefix(string(value), "good") })
		if got := string(x.Key().Text); got != c.want || ok != (c.want != "") || ok && x.Key().Hash != Of([]byte(c.want)).Hash {
			t.Errorf("%q: %q, %v, want %q", c.lines, got, ok, c.want)
		}
	}
	good, h := []byte("Abc"), &fixed{}
	if n := testing.AllocsPerRun(100, func() { x.Session(&s, h, func(value []byte) bool { return string(value) == string(good) }) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPathsThatACookieIsFor(t *testing.T) {
	for _, c := range []struct {
		path, target string
		want         bool
	}{
		{"/", "/", true}, {"/", "/a?b", true}, {"/", "*", true}, {"/", "web:80", true}, {"/", "http://web", true},
		{"/shop", "/shop", true}, {"/shop", "/shop/", true}, {"/shop", "/shop/a?b", true}, {"/shop", "/shop?a", true},
		{"/shop", "http://web/shop/a", true}, {"/shop/", "/shop/a", true}, {"/shop/", "/shop/", true},
		{"/shop", "/", false}, {"/shop", "/shopping", false}, {"/shop", "/a/shop", false}, {"/shop", "/Shop", false}, {"/shop", "/?/shop", false},
		{"/shop", "*", false}, {"/shop", "web:80", false}, {"/shop", "http://web", false}, {"/shop", "http://shop/", false}, {"/shop/", "/shop", false},
		{"/shop", "/%73hop", false}, {"/shop", "", false},
	} {
		if got := (&Session{Path: c.path}).Covers([]byte(c.target)); got != c.want {
			t.Errorf("path=%s covers %q: %v, want %v", c.path, c.target, got, c.want)
		}
	}
}

func TestSessionsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                       `"" is no name of a cookie`,
		"a=b":                    `"a=b" is no name of a cookie`,
		"sid;":                   `allowed are path=/PATH, max-age=DURATION, secure`,
		"sid;domain=x":           `allowed are path=/PATH`,
		"sid;path=app":           `want a path that begins with a slash`,
		"sid;path=/a b":          `want a path`,
		"sid;max-age=60":         `want a duration from 1s`,
		"sid;max-age=10000h":     `want a duration from 1s`,
		"sid;secure=yes":         `it has no value`,
		"sid;samesite=any":       `want lax, strict or none`,
		"sid;samesite=none":      `samesite=none needs secure`,
		"sid; path=/x\r\nA: b":   `want a path`,
		"sid; path=/\u00e4":      `want a path`,
		"sid\r\nset-cookie: x=1": `is no name of a cookie`,
	} {
		if _, err := ParseSession(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
