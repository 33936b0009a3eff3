package admit

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct{ name, before, after, want string }{
		{"nothing", `{"a":1}`, `{"a":1}`, `[]`},
		{"put before what is there", `{"l":[{"n":"app"}]}`, `{"l":[{"n":"us"},{"n":"app"}]}`,
			`[{"op":"add","path":"/l/0","value":{"n":"us"}}]`},
		{"put between and behind", `{"l":[1,2]}`, `{"l":[1,3,2,4]}`,
			`[{"op":"add","path":"/l/1","value":3},{"op":"add","path":"/l/3","value":4}]`},
		{"a list where there was none", `{}`, `{"l":[1]}`, `[{"op":"add","path":"/l","value":[1]}]`},
		{"a shorter list", `{"l":[1,2]}`, `{"l":[2]}`, `[{"op":"replace","path":"/l","value":[2]}]`},
		{"a key with a slash and a tilde", `{"m":{}}`, `{"m":{"a/b~c":"1"}}`, `[{"op":"add","path":"/m/a~1b~0c","value":"1"}]`},
		{"a large number", `{"n":9007199254740993}`, `{"n":9007199254740992}`, `[{"op":"replace","path":"/n","value":9007199254740992}]`},
		{"removed", `{"a":1,"b":2}`, `{"b":2}`, `[{"op":"remove","path":"/a"}]`},
		{"another type", `{"a":{}}`, `{"a":[]}`, `[{"op":"replace","path":"/a","value":[]}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			patch, err := diff(json.RawMessage(c.before), json.RawMessage(c.after))
			if err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, op := range patch {
				ops = append(ops, op.Json())
			}
			if got := "[" + strings.Join(ops, ",") + "]"; !sameJSON(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// FuzzDiff: whatever the two documents are, the patch makes the second of the first.
func FuzzDiff(f *testing.F) {
	f.Add(`{"a":[1,{"b":null}]}`, `{"a":[0,1,{"b":{}}],"c":""}`)
	f.Add(`[]`, `[[],{}]`)
	f.Add(`{"":1}`, `{"":{"":2}}`)
	f.Fuzz(func(t *testing.T, before, after string) {
		if !strings.HasPrefix(before, "{") || !strings.HasPrefix(after, "{") || !json.Valid([]byte(before)) ||
			!json.Valid([]byte(after)) {
			return
		}
		patch, err := diff(json.RawMessage(before), json.RawMessage(after))
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := jsonpatch.DecodePatch(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		got, err := decoded.Apply([]byte(before))
		if err != nil {
			t.Fatalf("%s on %s: %v", encoded, before, err)
		}
		if want, _ := generic(json.RawMessage(after)); !equalTo(t, got, want) {
			t.Errorf("%s on %s gives %s, not %s", encoded, before, got, after)
		}
	})
}

func equalTo(t *testing.T, got []byte, want any) bool {
	t.Helper()
	v, err := generic(json.RawMessage(got))
	if err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(v, want)
}
