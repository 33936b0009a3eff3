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
		if got := keyOf(&x, s.Spec(), &head{lines: []string{"cookie: a=1; sid=1abcDEF_-789"}}, ""); got != "1abcDEF_-789" {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	if s, _ := ParseSession("sid;max-age=90m"); s.MaxAge != 90*time.Minute {
		t.Errorf("%v", s.MaxAge)
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
