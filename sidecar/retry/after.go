package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// After reads the value of Retry-After (RFC 9110, section 10.2.3): seconds, or a date, of which what is left at now is answered. A
// date that has passed is 0. It reports false when it is neither.
func After(value string, now time.Time) (time.Duration, bool) {
	value = strings.Trim(value, " \t")
	if n, digits := seconds(value); digits {
		return n, true
	}
	t, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, t.Sub(now)), true
}

// longest is what a number of seconds too large to mean anything is taken for.
const longest = 24 * time.Hour

func seconds(s string) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return longest, true
	}
	return min(time.Duration(n)*time.Second, longest), true
}

// Pushback reads the value of grpc-retry-pushback-ms (gRFC A6): how long to wait before the next attempt. Anything but a number
// from 0 asks for no further attempt, which is answered as false.
func Pushback(value string) (time.Duration, bool) {
	value = strings.Trim(value, " \t")
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0, false
	}
	return time.Duration(n) * time.Millisecond, true
}
