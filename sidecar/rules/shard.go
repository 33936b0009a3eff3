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

// Keys answers where the key is and what is done to it, ready to be used; nil without Key.
func (s *Shard) Keys() *shardkey.Spec {
	if s.Key == "" {
		return nil
	}
	spec, err := shardkey.Parse(s.Key, s.Normalize)
	if err != nil { // Rules hold what was read once already
		panic(err)
	}
	return spec
}

// Spec answers the map, ready to be made.
func (s *Shard) Spec() shard.Spec {
	spec, err := shard.ParseSpec(s.Map)
	if err != nil { // as in Keys
		panic(err)
	}
	spec.Bound = s.BoundedLoad
	return spec
}

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

func parseCookie(s string) (string, error) {
	if !token(s) || s == "on" || s == "true" {
		return "", errNotAllowed
	}
	return s, nil
}
