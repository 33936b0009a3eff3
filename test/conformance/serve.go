package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	serverAddr = "127.0.0.1:8080"
	serverURL  = "http://" + serverAddr
	wsPort     = "8082"
)

// startServer starts the HTTP server in a rig that other languages' clients call: net/http, HTTP/1.x and, with prior knowledge, HTTP/2.
func startServer(r *rig) (stop func(), err error) {
	l, err := r.Listen("tcp", serverAddr)
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: server(), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	return func() { s.Close() }, nil
}

func server() http.Handler {
	number := func(r *http.Request) int {
		n, _ := strconv.Atoi(r.PathValue("n"))
		return n
	}
	m := http.NewServeMux()
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	m.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "query": r.URL.RawQuery, "length": n, "proto": r.Proto})
	})
	m.HandleFunc("/status/{n}", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(number(r)) })
	m.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "bytes", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("x", number(r))))
	})
	m.HandleFunc("/chunks/{n}", func(w http.ResponseWriter, r *http.Request) {
		for range number(r) {
			io.WriteString(w, strings.Repeat("x", 1000))
			w.(http.Flusher).Flush()
		}
	})
	m.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "hello")
		z.Close()
	})
	m.HandleFunc("/redirect/{n}", func(w http.ResponseWriter, r *http.Request) {
		if n := number(r); n > 1 {
			http.Redirect(w, r, fmt.Sprintf("/redirect/%d", n-1), http.StatusFound)
		} else {
			http.Redirect(w, r, "/", http.StatusFound)
		}
	})
	m.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		io.WriteString(w, "hello\n")
	})
	m.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "hello\n")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "42")
	})
	m.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	return m
}
