package shardkey

import (
	"fmt"
	"slices"
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
