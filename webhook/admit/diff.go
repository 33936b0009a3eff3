package admit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"
)

// diff answers the JSON patch (RFC 6902) from before to after. Both are the typed object, not what the API server sent:
// a field that this program's Kubernetes is too old to know is in neither, and so stays as it is.
//
// For the same reason a list that only got longer is patched by insertions. The patches of
// sigs.k8s.io/controller-runtime compare lists index by index, and would write every container behind ours anew, without
// the fields they do not know.
func diff(before, after any) ([]jsonpatch.JsonPatchOperation, error) {
	a, err := generic(before)
	if err != nil {
		return nil, err
	}
	b, err := generic(after)
	if err != nil {
		return nil, err
	}
	return difference(nil, "", a, b), nil
}

// generic answers an object as encoding/json's maps, lists and scalars; numbers keep their digits.
func generic(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var out any
	err = decoder.Decode(&out)
	return out, err
}

func difference(patch []jsonpatch.Operation, path string, a, b any) []jsonpatch.Operation {
	if reflect.DeepEqual(a, b) {
		return patch
	}
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return objects(patch, path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok {
			if insertions, ok := inserted(path, a, b); ok {
				return append(patch, insertions...)
			}
		}
	}
	return append(patch, jsonpatch.NewOperation("replace", path, b))
}

func objects(patch []jsonpatch.Operation, path string, a, b map[string]any) []jsonpatch.Operation {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if _, stays := b[key]; !stays {
			patch = append(patch, jsonpatch.NewOperation("remove", path+"/"+escape(key), nil))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if was, ok := a[key]; ok {
			patch = difference(patch, path+"/"+escape(key), was, b[key])
		} else {
			patch = append(patch, jsonpatch.NewOperation("add", path+"/"+escape(key), b[key]))
		}
	}
	return patch
}

// inserted answers the insertions that make b of a, if there are such.
func inserted(path string, a, b []any) (patch []jsonpatch.Operation, ok bool) {
	next := 0 // of a
	for i, element := range b {
		if next < len(a) && reflect.DeepEqual(a[next], element) {
			next++
			continue
		}
		patch = append(patch, jsonpatch.NewOperation("add", path+"/"+strconv.Itoa(i), element))
	}
	return patch, next == len(a)
}

// escape is RFC 6901, section 3.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
