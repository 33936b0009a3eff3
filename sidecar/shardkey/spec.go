package shardkey

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// kind is where a part of a key comes from.
type kind uint8

const (
	header kind = iota
	cookie
	query
	path
	jsonBody
	grpcBody
	sourceIP
)

var kinds = []string{"header", "cookie", "query", "path", "json", "grpc", "source-ip"}

const allowed = "header:NAME, cookie:NAME, query:NAME, path:/accounts/{key}, json:/account/id, grpc:1.2 or source-ip"

const (
	// MaxParts bounds the parts of a composite key.
	MaxParts = 4
	// maxSteps bounds the steps of a JSON pointer or of a path of protobuf fields.
	maxSteps = 16
	// maxField is the largest field number of protobuf.
	maxField = 1<<29 - 1
)

// Spec is where a Service's keys are. It is immutable and safe for concurrent use.
type Spec struct {
	parts               []part
	decode, trim, lower bool
	text                string
}

// part is one part of a key.
type part struct {
	kind kind
	text string // as written
	name string // of a header in small letters, of a cookie, of a query parameter

	// A path's segments. In that with the number slot, what is between before and after is the key.
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

// Parse reads sluice.mesh/shard-key, one place or several with commas between them, which make one key together, and
// sluice.mesh/shard-normalize: "" or a list of what is done to each part, in this order: decode (percent-encoding, of headers
// and cookies; paths and queries are always decoded), trim (white space around it goes) and lower (the letters A to Z become
// small). The error says what is allowed.
func Parse(key, normalize string) (*Spec, error) {
	s := &Spec{text: key}
	for _, text := range places(key) {
		p, err := parsePart(text)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, p)
	}
	if len(s.parts) > MaxParts {
		return nil, fmt.Errorf("shard key %q has %d parts; allowed are %d", key, len(s.parts), MaxParts)
	}
	if i := slices.IndexFunc(s.parts, func(p part) bool { return p.kind == jsonBody }); i >= 0 {
		if slices.ContainsFunc(s.parts, func(p part) bool { return p.kind == grpcBody }) {
			return nil, fmt.Errorf("shard key %q: a body is either JSON or gRPC, so json: and grpc: do not go together", key)
		}
	}
	for word := range strings.SplitSeq(normalize, ",") {
		switch strings.TrimSpace(word) {
		case "decode":
			s.decode = true
		case "trim":
			s.trim = true
		case "lower":
			s.lower = true
		case "":
			if normalize != "" {
				return nil, fmt.Errorf("normalization %q: an empty word; allowed are decode, trim and lower", normalize)
			}
		default:
			return nil, fmt.Errorf("normalization %q is unknown; allowed are decode, trim and lower", strings.TrimSpace(word))
		}
	}
	return s, nil
}

// String answers the annotation's text.
func (s *Spec) String() string { return s.text }

// Parts answers the places as written.
func (s *Spec) Parts() []string {
	var all []string
	for i := range s.parts {
		all = append(all, s.parts[i].text)
	}
	return all
}

// NeedsBody says whether a part of the key is in the body.
func (s *Spec) NeedsBody() bool {
	return slices.ContainsFunc(s.parts, func(p part) bool { return p.inBody() })
}

func (p *part) inBody() bool { return p.kind == jsonBody || p.kind == grpcBody }

// places takes a list apart: at commas behind which one of the words begins, for a path or pointer may have commas in it.
func places(list string) (all []string) {
	from := 0
	for i := range len(list) {
		if list[i] != ',' {
			continue
		}
		next := strings.TrimLeft(list[i+1:], " \t")
		if slices.ContainsFunc(kinds, func(k string) bool {
			after, ok := strings.CutPrefix(next, k)
			return ok && (k == kinds[sourceIP] && (after == "" || strings.ContainsAny(after[:1], ", \t")) || strings.HasPrefix(after, ":"))
		}) {
			all = append(all, strings.TrimSpace(list[from:i]))
			from = i + 1
		}
	}
	return append(all, strings.TrimSpace(list[from:]))
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
		switch {
		case strings.ContainsAny(before+after, "{}") || isKey && p.slot >= 0:
			return fmt.Errorf("%q: %s", text, want)
		case isKey:
			p.slot, p.before, p.after = i, before, after
		}
		decoded, err := url.PathUnescape(raw)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		p.segments = append(p.segments, segment{decoded, raw == "*" || isKey})
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
