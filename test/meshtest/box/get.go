package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// answer is what "box get" prints for each URL.
type answer struct {
	URL     string              `json:"url"`
	Status  int                 `json:"status"`
	Proto   string              `json:"proto"`
	Headers map[string][]string `json:"headers,omitempty"`
	Body    string              `json:"body"`
	MS      float64             `json:"ms"`
	Error   string              `json:"error,omitempty"`
}

// get calls each URL once, on a connection of its own. A path of a file behind
// --token-file is the way to ask the API server from a pod.
func get(ctx context.Context, args []string, out io.Writer) error {
	var headers headerFlag
	fs := flag.NewFlagSet("get", flag.ContinueOnError)
	method := fs.String("method", "GET", "method")
	body := fs.String("body", "", "body to send")
	fs.Var(&headers, "header", "NAME:VALUE (repeatable)")
	token := fs.String("token-file", "", "file with a bearer token to send")
	expect := fs.String("expect", "", "text that every body must hold")
	h2c := fs.Bool("h2c", false, "HTTP/2 with prior knowledge")
	timeout := fs.Duration("timeout", 5*time.Second, "for one request")
	if err := parse(fs, args, -1); err != nil {
		return err
	}
	if *token != "" {
		t, err := os.ReadFile(*token)
		if err != nil {
			return err
		}
		headers = append(headers, "Authorization: Bearer "+strings.TrimSpace(string(t)))
	}
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	if *h2c {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	var errs []error
	for _, url := range fs.Args() {
		s := callSettings{url: url, method: *method, body: *body, headers: headers, keepAlive: true, timeout: *timeout}
		a, err := s.get(ctx, t)
		if err == nil && !strings.Contains(a.Body, *expect) {
			err = fmt.Errorf("answer without %q", *expect)
		}
		if err != nil {
			a.Error = err.Error()
		}
		errs = append(errs, err, printJSON(out, a))
	}
	return errors.Join(errs...)
}

func (s callSettings) get(ctx context.Context, t http.RoundTripper) (a answer, err error) {
	a.URL = s.url
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := s.request(ctx)
	if err != nil {
		return a, err
	}
	start := time.Now()
	resp, err := t.RoundTrip(req) // no redirects are followed
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	a.Status, a.Proto, a.Headers, a.Body, a.MS = resp.StatusCode, resp.Proto, resp.Header, string(b), ms(time.Since(start))
	if err == nil && resp.StatusCode >= 400 {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return a, err
}
