package rules

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/shard"
	"github.com/sluice-mesh/sluice/sidecar/shardkey"
)

// taught is an error of a parser of somebody else's, which says what is allowed itself.
type taught struct{ error }

// parseShardKey reads the places of a key as package shardkey does.
func parseShardKey(s string) (string, error) {
	spec, err := shardkey.Parse(s, "")
	if err != nil {
		return "", taught{err}
	}
	return spec.String(), nil
}

// parseNormalize reads what is done to a key as package shardkey does.
func parseNormalize(s string) (string, error) {
	if _, err := shardkey.Parse("source-ip", s); err != nil {
		return "", taught{err}
	}
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' }), ","), nil
}

// parseShardMap reads a map and its parameters as package shard does.
func parseShardMap(s string) (string, error) {
	if _, err := shard.ParseSpec(s); err != nil {
		return "", taught{err}
	}
	parts, err := list(s)
	return strings.Join(parts, ","), err
}

// ready is what the texts of a Shard are once they are read. It is made with the rules, so that nobody reads them on a request's
// way.
type ready struct {
	keys    *shardkey.Spec
	session *shardkey.Session
	spec    shard.Spec
}

// sessionMap is the map of sessions by cookie: all it has to know is who is there, so its table is as small as may be.
const sessionMap = "rendezvous,slots=1024"

// read reads the texts, which were read once before and so are right.
func (s *Shard) read() *ready {
	r := &ready{}
	var errs [3]error
	text := s.Map
	switch {
	case s.Key != "":
		r.keys, errs[0] = shardkey.Parse(s.Key, s.Normalize)
	case s.Cookie != "":
		var session shardkey.Session
		session, errs[1] = shardkey.ParseSession(s.Cookie)
		r.session, text = &session, sessionMap
	}
	r.spec, errs[2] = shard.ParseSpec(text)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	r.spec.Bound = s.BoundedLoad
	r.spec.Sessions = r.session != nil
	r.spec.ByTable = r.spec.Kind == shard.S2 && s.Lookup != ""
	return r
}

// On says whether requests have owners: by their keys, or by the session they belong to.
func (s *Shard) On() bool { return s.Key != "" || s.Cookie != "" }

// made answers what was read. Rules that were not parsed, as in tests, are read each time.
func (s *Shard) made() *ready {
	if s.ready != nil {
		return s.ready
	}
	return s.read()
}

// Keys answers where a request's key is and what is done to it; nil without Key.
func (s *Shard) Keys() *shardkey.Spec { return s.made().keys }

// Session answers the cookie that keeps a client at its pod; nil without Cookie, and with Key.
func (s *Shard) Session() *shardkey.Session { return s.made().session }

// Spec answers the map. It counts for something where On is true.
func (s *Shard) Spec() shard.Spec { return s.made().spec }

// shardFallback is the row of two fields.
func shardFallback() value {
	return value{
		parse: func(r *Rules, s string) error {
			if wait, ok := strings.CutPrefix(s, "wait="); ok {
				d, err := duration(time.Millisecond, 10*time.Minute)(strings.TrimSpace(wait))
				if err == nil {
					r.Shard.Fallback, r.Shard.FallbackWait = FallWait, d
				}
				return err
			}
			if s == "wait" {
				return errors.New("say for how long, wait=5s")
			}
			f, err := choice(fallbacks)(s)
			if err == nil {
				r.Shard.Fallback, r.Shard.FallbackWait = f, 0
			}
			return err
		},
		text: func(r *Rules) string {
			if r.Shard.Fallback == FallWait {
				return "wait=" + durationText(r.Shard.FallbackWait)
			}
			return r.Shard.Fallback.String()
		},
		keep: func(to, from *Rules) {
			to.Shard.Fallback, to.Shard.FallbackWait = from.Shard.Fallback, from.Shard.FallbackWait
		},
	}
}

func parseBoundedLoad(s string) (float64, error) { return number(s, 1.05, 10) }

// objectName is what Kubernetes allows for the name of a ConfigMap (RFC 1123, section 2.1, subdomain).
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func parseObjectName(s string) (string, error) {
	if len(s) > 253 || !objectName.MatchString(s) {
		return "", errNotAllowed
	}
	return s, nil
}

// parseCookie reads a session's cookie as package shardkey does.
func parseCookie(s string) (string, error) {
	if s == "on" || s == "true" {
		return "", errors.New("the cookie needs a name")
	}
	if _, err := shardkey.ParseSession(s); err != nil {
		return "", taught{err}
	}
	return s, nil
}
