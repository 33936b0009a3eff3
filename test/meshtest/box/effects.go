package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"sync"
)

// effectHeader names a request that changes something: the pod does it once the request is there as a whole, whatever its
// fault makes of the answer.
const effectHeader = "X-Effect"

// effects counts what was done, by the name in the request, and all requests. The control port answers both as JSON.
// It is safe for concurrent use.
type effects struct {
	// file gets a line for each request, the name of its effect, before it is answered: it outlives the process. nil is none.
	file *os.File

	mu       sync.Mutex
	done     map[string]int
	requests int
}

func (e *effects) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get(effectHeader)
		if name != "" {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return // it did not come as a whole
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if e.file != nil {
			// One write: whatever kills the process, the line is there as a whole or not at all.
			if _, err := e.file.WriteString(name + "\n"); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		e.mu.Lock()
		e.requests++
		if name != "" {
			if e.done == nil {
				e.done = make(map[string]int)
			}
			e.done[name]++
		}
		e.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

func (e *effects) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	all := struct {
		Requests int            `json:"requests"`
		Done     map[string]int `json:"done"`
	}{e.requests, maps.Clone(e.done)}
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	printJSON(w, all) // a client that has gone is its own affair
}
