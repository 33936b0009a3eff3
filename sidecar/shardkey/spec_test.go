package shardkey

import (
	"slices"
	"strings"
	"testing"
)

func TestSpecs(t *testing.T) {
	for text, want := range map[string][]string{
		"header:Account-ID":            {"header:Account-ID"},
		"header:a, cookie:b ,query:c":  {"header:a", "cookie:b", "query:c"},
		"path:/a,b/{key},source-ip":    {"path:/a,b/{key}", "source-ip"},
		"json:/a,b,header:c":           {"json:/a,b", "header:c"},
		"source-ip,header:a":           {"source-ip", "header:a"},
		"json:/a/0/b~1c, json:/d":      {"json:/a/0/b~1c", "json:/d"},
		"grpc:1.2":                     {"grpc:1.2"},
		"path:/x/*/u-{key}.json":       {"path:/x/*/u-{key}.json"},
		"query:a b,query:source-ip":    {"query:a b", "query:source-ip"},
		"json:/source-ips,json:/query": {"json:/source-ips", "json:/query"},
	} {
		s, err := Parse(text, "")
		if err != nil || !slices.Equal(s.Parts(), want) || s.String() != text {
			t.Errorf("%q: %v, %v; want %q", text, s, err, want)
		}
	}
	for text, want := range map[string]bool{"header:a": false, "json:/a": true, "header:a,grpc:1": true, "source-ip": false} {
		if got := mustParse(t, text, "").NeedsBody(); got != want {
			t.Errorf("%q needs a body: %v", text, got)
		}
	}
	if s := mustParse(t, "header:a", " lower , trim,decode"); !s.lower || !s.trim || !s.decode {
		t.Errorf("%+v", s)
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                             `shard key "": want header:NAME, cookie:NAME, query:NAME, path:/accounts/{key}`,
		"account":                      `shard key "account": want header:NAME`,
		"body:/a":                      `shard key "body:/a": want header:NAME`,
		"source-ip:":                   `shard key "source-ip:": want`,
		"header":                       `shard key "header": want`,
		"header:":                      `"" is no name of a header field`,
		"header:a b":                   `"a b" is no name of a header field`,
		"header::path":                 `":path" is no header field; the path has path:/…, its query query:NAME`,
		"header:a,,header:b":           `"a," is no name of a header field`,
		"header:a,foo:b":               `"a,foo:b" is no name of a header field`,
		"cookie:a=b":                   `"a=b" is no name of a cookie`,
		"query:":                       `"" is no name of a query parameter`,
		"query:a%20b":                  `write it decoded`,
		"path:accounts/{key}":          `want a path such as /accounts/{key}`,
		"path:/accounts/":              `"/accounts/" has no {key}`,
		"path:/accounts/{id}":          `want a path such as /accounts/{key}`,
		"path:/{key}/{key}":            `want a path`,
		"path:/{key}{key}":             `want a path`,
		"path:/{key}?a":                `want a path`,
		"path:/%zz/{key}":              `invalid URL escape`,
		"path:/%{key}41":               `invalid URL escape`,
		"path:/{key}%4":                `invalid URL escape`,
		"json:a":                       `want a JSON pointer (RFC 6901) such as /account/id`,
		"json:":                        `want a JSON pointer`,
		"json:/a~2":                    `~ stands only in ~0, which is ~, and in ~1, which is /`,
		"json:/" + steps("a", 17):      `has 17 steps; allowed are 16`,
		"grpc:":                        `want numbers of protobuf fields`,
		"grpc:0":                       `want numbers of protobuf fields`,
		"grpc:1.":                      `want numbers`,
		"grpc:536870912":               `want numbers`,
		"json:/a,grpc:1":               `a body is either JSON or gRPC`,
		"header:a" + repeat("header:"): `has 5 parts; allowed are 4`,
	} {
		if _, err := Parse(text, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"upper": `normalization "upper" is unknown; allowed are decode, trim and lower`, "trim,": "an empty word",
	} {
		if _, err := Parse("header:a", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func steps(step string, n int) string { return strings.TrimSuffix(strings.Repeat(step+"/", n), "/") }

func repeat(word string) (s string) {
	for _, c := range "bcde" {
		s += "," + word + string(c)
	}
	return s
}

// FuzzParse finds that what parses can be used, and parses again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"header:a,source-ip", "path:/a/*/b{key}c", "json:/a/0/~1", "grpc:1.2.3", "query:x, cookie:y"} {
		f.Add(s, "trim,lower,decode", "/a/x/bkc?x=1", `{"a":[{"/":1}]}`)
	}
	f.Fuzz(func(t *testing.T, key, normalize, target, body string) {
		s, err := Parse(key, normalize)
		if err != nil {
			return
		}
		if again, err := Parse(strings.Join(s.Parts(), ","), normalize); err != nil || !slices.Equal(again.Parts(), s.Parts()) {
			t.Fatalf("%q: %q, and again %v, %v", key, s.Parts(), again, err)
		}
		var x Extraction
		keyOf(&x, s, &head{target: target, client: "10.0.0.7", lines: []string{"a: 1", "cookie: y=1"}}, body)
	})
}
