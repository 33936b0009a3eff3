package rules

import (
	"errors"
	"fmt"
	"strings"
)

// mostPatterns bounds what each request that failed is compared with.
const mostPatterns = 32

func parseRequests(s string) (Requests, error) {
	if s == none {
		return nil, nil
	}
	parts, err := list(s)
	if err != nil {
		return nil, err
	}
	if len(parts) > mostPatterns {
		return nil, fmt.Errorf("%d patterns are too many; %d are the most", len(parts), mostPatterns)
	}
	var r Requests
	for _, part := range parts {
		p, err := parsePattern(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quoted(part), err)
		}
		r = append(r, p)
	}
	return r, nil
}

func parsePattern(s string) (p Pattern, err error) {
	fields := strings.Fields(s)
	if strings.HasPrefix(fields[len(fields)-1], "/") {
		p.Path, p.Prefix = strings.CutSuffix(fields[len(fields)-1], "*")
		fields = fields[:len(fields)-1]
		switch {
		case strings.ContainsAny(p.Path, "?#"):
			return p, errors.New("a path has no query")
		case strings.Contains(p.Path, "*"):
			return p, errors.New("a path has an asterisk at its end only")
		}
	}
	switch {
	case len(fields) > 1:
		return p, errors.New("neither a method nor a path nor a method and a path")
	case len(fields) == 0:
		return p, nil
	}
	p.Method = fields[0]
	switch {
	case p.Method == none:
		return p, errors.New("none stands alone")
	case !token(p.Method) || strings.Contains(p.Method, "*"):
		return p, errors.New("not a method; a path begins with a slash")
	case p.Method != strings.ToUpper(p.Method):
		return p, errors.New("methods are written in upper case")
	}
	return p, nil
}

// String answers the patterns as the annotation has them.
func (r Requests) String() string {
	if len(r) == 0 {
		return none
	}
	var parts []string
	for _, p := range r {
		parts = append(parts, p.String())
	}
	return strings.Join(parts, ",")
}

// String answers the pattern as the annotation has it.
func (p Pattern) String() string {
	path := p.Path
	if p.Prefix {
		path += "*"
	}
	return strings.TrimSpace(p.Method + " " + path)
}
