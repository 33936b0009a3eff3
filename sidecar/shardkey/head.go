package shardkey

import (
	"bytes"
	"strings"
)

// fromHead appends the text of a part that is in a request's head.
func (p *part) fromHead(dst []byte, src Source) ([]byte, Outcome) {
	switch p.kind {
	case header:
		return p.fromHeader(dst, src)
	case cookie:
		return p.fromCookies(dst, src)
	case query:
		return p.fromQuery(dst, src.Target())
	case path:
		return p.fromPath(dst, src.Target())
	}
	a := src.Client()
	if !a.IsValid() {
		return dst, Absent
	}
	return a.Unmap().WithZone("").AppendTo(dst), Found
}

// fromHeader takes a field's value as it is: its case and the commas in it are part of the key. Of gRPC's binary metadata,
// which may come with padding or without, the padding goes.
func (p *part) fromHeader(dst []byte, src Source) ([]byte, Outcome) {
	from := len(dst)
	for n := 0; ; n++ {
		v, ok := src.Header(p.name, n)
		if !ok {
			if n == 0 {
				return dst, Absent
			}
			return dst, Found
		}
		if strings.HasSuffix(p.name, "-bin") {
			v = bytes.TrimRight(v, "=")
		}
		var o Outcome
		if dst, o = same(dst, from, v, n == 0); o != Found {
			return dst, o
		}
	}
}

// fromCookies takes a cookie's value.
func (p *part) fromCookies(dst []byte, src Source) ([]byte, Outcome) {
	from, o := len(dst), Absent
	eachCookie(src, p.name, func(value []byte) bool {
		dst, o = same(dst, from, value, o == Absent)
		return o == Found
	})
	return dst, o
}

// eachCookie calls f with the values of the cookies of a name, as they are but without quotation marks around them, until it reports false.
// HTTP/2 may bring cookies in several field lines (RFC 9113, section 8.2.3).
func eachCookie(src Source, name string, f func(value []byte) bool) {
	for n := 0; ; n++ {
		line, ok := src.Header("cookie", n)
		if !ok {
			return
		}
		for len(line) > 0 {
			var pair []byte
			pair, line = cut(line, ';')
			pair = bytes.Trim(pair, " \t")
			is, value := cut(pair, '=')
			if string(bytes.TrimRight(is, " \t")) != name || len(is) == len(pair) {
				continue
			}
			if len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			if !f(value) {
				return
			}
		}
	}
}

// fromQuery takes a parameter's value, decoded: %41 is A, and + is a space.
func (p *part) fromQuery(dst []byte, target []byte) ([]byte, Outcome) {
	_, rest := cut(target, '?')
	rest, _ = cut(rest, '#')
	from, found := len(dst), false
	for len(rest) > 0 {
		var pair []byte
		pair, rest = cut(rest, '&')
		name, value := cut(pair, '=')
		if !equalDecoded(name, p.name, true) {
			continue
		}
		mark := len(dst)
		var ok bool
		if dst, ok = appendDecoded(dst, value, true); !ok {
			return dst, Bad
		}
		if found {
			again := dst[mark:]
			if dst = dst[:mark]; !bytes.Equal(dst[from:], again) {
				return dst, Several
			}
		}
		found = true
	}
	if !found {
		return dst, Absent
	}
	return dst, Found
}

// fromPath takes a segment of the path, or what is in it, decoded: %2F is a slash in the key, and + is a plus. The path is
// taken as it was sent, dot segments and empty ones included, and may go on behind the template.
func (p *part) fromPath(dst []byte, target []byte) ([]byte, Outcome) {
	rest, ok := pathOf(target)
	if !ok {
		return dst, Absent
	}
	for i, want := range p.segments {
		if len(rest) == 0 {
			return dst, Absent
		}
		var is []byte
		is, rest = firstOf(rest)
		switch {
		case i == p.slot:
			from := len(dst)
			if dst, ok = appendDecoded(dst, is, false); !ok {
				return dst, Bad
			}
			key := dst[from:]
			if len(key) <= len(p.before)+len(p.after) || string(key[:len(p.before)]) != p.before ||
				string(key[len(key)-len(p.after):]) != p.after {
				return dst[:from], Absent
			}
			dst = append(dst[:from], key[len(p.before):len(key)-len(p.after)]...)
		case !want.any && !equalDecoded(is, want.text, false):
			return dst, Absent
		}
	}
	return dst, Found
}

// pathOf answers a target's path without its query. In absolute form (RFC 9112, section 3.2.2) it is behind the authority.
func pathOf(target []byte) ([]byte, bool) {
	target, _ = cut(target, '?')
	target, _ = cut(target, '#')
	if len(target) > 0 && target[0] == '/' {
		return target, true
	}
	i := bytes.Index(target, []byte("://"))
	if i < 0 {
		return nil, false
	}
	if j := bytes.IndexByte(target[i+3:], '/'); j >= 0 {
		return target[i+3+j:], true
	}
	return nil, false
}

// firstOf takes the first segment off a path, which begins with a slash.
func firstOf(path []byte) (segment, rest []byte) {
	if i := bytes.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : 1+i], path[1+i:]
	}
	return path[1:], nil
}

// cut is bytes.Cut by one byte.
func cut(b []byte, sep byte) (before, after []byte) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}
