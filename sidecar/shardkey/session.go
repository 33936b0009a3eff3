package shardkey

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Session is the cookie that keeps a client at its pod. Its value is shard's: Member.Session writes it, Map.Resume reads it.
type Session struct {
	Name     string
	Path     string        // "/" unless said otherwise
	MaxAge   time.Duration // 0 is until the browser ends
	Secure   bool
	SameSite string // "Lax" unless said otherwise
}

// ParseSession reads sluice.mesh/shard-cookie: a cookie's name, and behind semicolons path=/PATH, max-age=DURATION, secure,
// samesite=lax, strict or none. The error says what is allowed.
func ParseSession(text string) (Session, error) {
	name, rest, more := strings.Cut(text, ";")
	s := Session{Name: strings.TrimSpace(name), Path: "/", SameSite: "Lax"}
	if !token(s.Name) {
		return Session{}, fmt.Errorf("session %q: %q is no name of a cookie", text, s.Name)
	}
	for more {
		var attribute string
		attribute, rest, more = strings.Cut(rest, ";")
		if err := s.attribute(strings.TrimSpace(attribute)); err != nil {
			return Session{}, fmt.Errorf("session %q: %q: %w", text, strings.TrimSpace(attribute), err)
		}
	}
	if s.SameSite == "None" && !s.Secure {
		return Session{}, fmt.Errorf("session %q: samesite=none needs secure: browsers drop such a cookie without it", text)
	}
	return s, nil
}

func (s *Session) attribute(text string) error {
	name, value, _ := strings.Cut(text, "=")
	switch strings.ToLower(name) {
	case "path":
		if !strings.HasPrefix(value, "/") || strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ',' }) >= 0 {
			return errors.New("want a path that begins with a slash")
		}
		s.Path = value
	case "max-age":
		d, err := time.ParseDuration(value)
		if err != nil || d < time.Second || d > 400*24*time.Hour {
			return errors.New("want a duration from 1s to 9600h, which is as long as browsers keep a cookie")
		}
		s.MaxAge = d
	case "secure":
		s.Secure = true
		if text != name {
			return errors.New("it has no value")
		}
	case "samesite":
		switch strings.ToLower(value) {
		case "lax":
			s.SameSite = "Lax"
		case "strict":
			s.SameSite = "Strict"
		case "none":
			s.SameSite = "None"
		default:
			return errors.New("want lax, strict or none")
		}
	default:
		return errors.New("allowed are path=/PATH, max-age=DURATION, secure, samesite=lax, strict or none")
	}
	return nil
}

// AppendSetCookie appends the value of a Set-Cookie field (RFC 6265, section 4.1). No script has to read it: HttpOnly.
func (s *Session) AppendSetCookie(dst, value []byte) []byte {
	dst = append(append(dst, s.Name...), '=')
	dst = append(append(dst, value...), "; Path="...)
	dst = append(dst, s.Path...)
	if s.MaxAge > 0 {
		dst = strconv.AppendInt(append(dst, "; Max-Age="...), int64(s.MaxAge/time.Second), 10)
	}
	dst = append(dst, "; HttpOnly"...)
	if s.Secure {
		dst = append(dst, "; Secure"...)
	}
	return append(append(dst, "; SameSite="...), s.SameSite...)
}

// Covers reports whether a client sends the cookie with a request for a target: whether the target's path, as it was sent, is Path or below it
// (RFC 6265, section 5.1.4).
func (s *Session) Covers(target []byte) bool {
	if s.Path == "/" {
		return true
	}
	path, _ := pathOf(target)
	if len(path) < len(s.Path) || string(path[:len(s.Path)]) != s.Path {
		return false
	}
	return len(path) == len(s.Path) || strings.HasSuffix(s.Path, "/") || path[len(s.Path)] == '/'
}
