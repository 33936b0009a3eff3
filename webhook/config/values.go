package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// parseQuantity reads a positive quantity, or "none" as nil.
func parseQuantity(s string) (*resource.Quantity, error) {
	if s == "none" {
		return nil, nil
	}
	q, err := resource.ParseQuantity(s)
	if err != nil || q.Sign() <= 0 {
		return nil, fmt.Errorf("%q: want a positive quantity, such as 50m or 64Mi, or none", s)
	}
	return &q, nil
}

// imageReference is wider than the grammar of image references, but keeps out blanks, "$(VAR)" and control characters.
var imageReference = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,511}$`)

func parseImage(s string) (string, error) {
	if !imageReference.MatchString(s) {
		return "", fmt.Errorf("%q: want an image reference, such as registry.example/sluice:v1", s)
	}
	return s, nil
}

// oneOf makes a parser of the allowed words.
func oneOf[T ~string](allowed ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if !slices.Contains(allowed, T(s)) {
			return "", fmt.Errorf("%q: want one of %s", s, words(allowed))
		}
		return T(s), nil
	}
}

func words[T ~string](list []T) string {
	var b strings.Builder
	for i, w := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(w))
	}
	return b.String()
}

var (
	pullPolicies = []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}
	nativeModes  = []NativeMode{NativeAuto, NativeOn, NativeOff}
	logLevels    = []string{"debug", "info", "warn", "error"}
)

// join answers the comma-separated form of a list, as flags and annotations take it.
func join[T fmt.Stringer](list []T) string {
	var texts []string
	for _, v := range list {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ",")
}

// parseMost reads a limit of the proxy, 0 sets none; parseLoops a number of event loops, and parseStreams one of streams, as its flags take
// them.
func parseMost(s string) (int, error)    { return parseUpTo(s, 1_000_000) }
func parseLoops(s string) (int, error)   { return parseUpTo(s, 64) }
func parseStreams(s string) (int, error) { return parseUpTo(s, 100_000) }

func parseUpTo(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%q: want a whole number from 0 to %d", s, most)
	}
	return n, nil
}
