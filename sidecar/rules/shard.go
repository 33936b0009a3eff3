package rules

import (
	"errors"
	"regexp"
	"strings"
	"time"
)

// keySources are the beginnings of a key's parts.
var keySources = []string{"header:", "cookie:", "query:", "path:", "json:", "grpc:"}

// parseShardKey looks at no more than where each part of the key is from.
func parseShardKey(s string) (string, error) {
	parts, err := list(s)
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		known := p == "source-ip"
		for _, source := range keySources {
			known = known || strings.HasPrefix(p, source) && len(p) > len(source)
		}
		if !known {
			return "", partError(parts, p, errNotAllowed)
		}
	}
	return strings.Join(parts, ","), nil
}

// shardMaps are the functions from keys to endpoints.
var shardMaps = []string{"rendezvous", "ordinal", "maglev", "ring", "lookup", "prefix-lookup", "s2"}

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

// normalizations are what may be done to a key.
var normalizations = []string{"trim", "lower"}

func parseNormalize(s string) (string, error) {
	parts, err := list(s)
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		if _, err := oneOf(normalizations...)(p); err != nil {
			return "", partError(parts, p, err)
		}
	}
	return strings.Join(parts, ","), nil
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
