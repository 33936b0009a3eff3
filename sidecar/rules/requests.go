package rules

import "strings"

// Requests are patterns of requests. None of them matches nothing.
type Requests []Pattern

// Pattern is requests by method, by path, or both.
type Pattern struct {
	Method string // "" is any
	Path   string // "" is any; compared with the request's path without its query
	Prefix bool   // Path is only the path's beginning
}

// Match says whether one of the patterns matches a request by its method and its path; a query behind the path is ignored.
func (r Requests) Match(method, path string) bool {
	for i := range r {
		if r[i].match(method, path) {
			return true
		}
	}
	return false
}

func (p *Pattern) match(method, path string) bool {
	if p.Method != "" && p.Method != method {
		return false
	}
	if p.Path == "" || p.Prefix && strings.HasPrefix(path, p.Path) {
		return true
	}
	rest, ok := strings.CutPrefix(path, p.Path)
	return ok && !p.Prefix && (rest == "" || rest[0] == '?')
}
