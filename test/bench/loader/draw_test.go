package main

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

func TestAtFullSpeedEachRequestHasAKeyOfItsOwn(t *testing.T) {
	for name, o := range map[string]options{"in a header": {header: "Account-Id"}, "in a body": {body: 1 << 10}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen, requests := map[string]bool{}, 0
			o.target = serve(t, func(w http.ResponseWriter, r *http.Request) {
				text, _ := io.ReadAll(r.Body)
				key := r.Header.Get("Account-Id")
				if o.body > 0 {
					var v struct{ Account struct{ ID json.Number } }
					if err := json.Unmarshal(text, &v); err != nil || r.Method != http.MethodPost {
						t.Errorf("%s %s: %v", r.Method, text, err)
					}
					key = v.Account.ID.String()
				}
				if len(text) != o.body || len(key) != 8 {
					t.Errorf("a body of %d bytes and the key %q", len(text), key)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[key] = true
				requests++
			})
			o.path, o.connections, o.duration, o.seed = "/", 2, 100*time.Millisecond, 7
			got, err := rate(o)
			if err != nil {
				t.Fatal(err)
			}
			r := got.(rateResult)
			mu.Lock() // a handler may be at its last request still
			defer mu.Unlock()
			if r.Answered == 0 || r.Failed > 0 || r.Due > requests {
				t.Errorf("got %+v, and the server had %d requests", r, requests)
			}
			if len(seen) < requests*9/10 { // of 43 million keys
				t.Errorf("%d keys in %d requests", len(seen), requests)
			}
		})
	}
}

func TestDocumentsHaveTheLengthAskedFor(t *testing.T) {
	for size := 110; size < 2000; size++ {
		text := document(size, "12345678")
		if text != "" && (len(text) != size || !json.Valid([]byte(text))) {
			t.Fatalf("%d bytes are %d: %s", size, len(text), text)
		}
	}
	if document(1<<10, "12345678") == "" {
		t.Error("no text of 1 KiB")
	}
}
