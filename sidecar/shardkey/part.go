package shardkey

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// part is one part of a key.
type part struct {
	kind kind
	text string // as written
	name string // of a header in small letters, of a cookie, of a query parameter

	// A path's segments. In that with the number slot, what is between before and after, which are decoded, is the key.
	segments      []segment
	slot          int
	before, after string

	steps   []string // of a JSON pointer, decoded
	indexes []int    // what each step is as an index of an array; -1 where it is none
	fields  []uint64 // of protobuf, outermost first
}

// segment is one of a path's template.
type segment struct {
	text string // decoded
	any  bool
}

func parsePart(text string) (part, error) {
	word, rest, colon := strings.Cut(text, ":")
	i := slices.Index(kinds, word)
	if i < 0 || colon != (kind(i) != sourceIP) {
		return part{}, fmt.Errorf("shard key %q: want %s", text, allowed)
	}
	p := part{kind: kind(i), text: text, name: rest}
	var err error
	switch p.kind {
	case header:
		p.name = strings.ToLower(rest)
		if strings.HasPrefix(rest, ":") {
			err = fmt.Errorf("%q is no header field; the path has path:/…, its query query:NAME", rest)
		} else if !token(rest) {
			err = fmt.Errorf("%q is no name of a header field", rest)
		}
	case cookie:
		if !token(rest) {
			err = fmt.Errorf("%q is no name of a cookie", rest)
		}
	case query:
		if rest == "" || strings.ContainsAny(rest, "&=#%+") {
			err = fmt.Errorf("%q is no name of a query parameter; write it decoded", rest)
		}
	case path:
		err = p.parsePath(rest)
	case jsonBody:
		err = p.parsePointer(rest)
	case grpcBody:
		err = p.parseFields(rest)
	}
	if err != nil {
		return part{}, fmt.Errorf("shard key %q: %w", text, err)
	}
	return p, nil
}

// token says whether a text is a token of RFC 9110, section 5.6.2.
func token(text string) bool {
	for _, c := range []byte(text) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return text != ""
}

func (p *part) parsePath(text string) error {
	const want = "want a path such as /accounts/{key}: one segment has {key} in it, and * stands for any segment"
	if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "?#") {
		return fmt.Errorf("%q: %s", text, want)
	}
	p.slot = -1
	for i, raw := range strings.Split(text[1:], "/") {
		before, after, isKey := strings.Cut(raw, "{key}")
		if strings.ContainsAny(before+after, "{}") || isKey && p.slot >= 0 {
			return fmt.Errorf("%q: %s", text, want)
		}
		wild := raw == "*" || isKey
		before, err := url.PathUnescape(before)
		if err == nil {
			after, err = url.PathUnescape(after)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		if isKey {
			p.slot, p.before, p.after = i, before, after
		}
		p.segments = append(p.segments, segment{before, wild})
	}
	if p.slot < 0 {
		return fmt.Errorf("%q has no {key}: %s", text, want)
	}
	return nil
}

func (p *part) parsePointer(text string) error {
	if !strings.HasPrefix(text, "/") {
		return fmt.Errorf("%q: want a JSON pointer (RFC 6901) such as /account/id", text)
	}
	for raw := range strings.SplitSeq(text[1:], "/") {
		step, err := unescape(raw)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		index := -1
		if n, err := strconv.ParseUint(step, 10, 31); err == nil && strconv.FormatUint(n, 10) == step {
			index = int(n)
		}
		p.steps, p.indexes = append(p.steps, step), append(p.indexes, index)
	}
	if len(p.steps) > maxSteps {
		return fmt.Errorf("%q has %d steps; allowed are %d", text, len(p.steps), maxSteps)
	}
	return nil
}

// unescape decodes a step of a JSON pointer. RFC 6901, section 4: first ~1 to /, then ~0 to ~.
func unescape(raw string) (string, error) {
	for i := range len(raw) {
		if raw[i] == '~' && (i+1 == len(raw) || raw[i+1] != '0' && raw[i+1] != '1') {
			return "", fmt.Errorf("~ stands only in ~0, which is ~, and in ~1, which is /")
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(raw, "~1", "/"), "~0", "~"), nil
}

func (p *part) parseFields(text string) error {
	for number := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n < 1 || n > maxField {
			return fmt.Errorf("%q: want numbers of protobuf fields with dots between them, the outermost first, such as 1.2", text)
		}
		p.fields = append(p.fields, n)
	}
	if len(p.fields) > maxSteps {
		return fmt.Errorf("%q has %d steps; allowed are %d", text, len(p.fields), maxSteps)
	}
	return nil
}
