package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	healthPort = 15302
	adminPort  = 15303
)

// get makes a request inside the way's pod.
func (w *way) get(port int, path string, patience time.Duration) ([]byte, error) {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return w.pod.Dial(ctx, network, addr)
		}}}
	resp, err := c.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", path, resp.Status, body)
	}
	return body, err
}

// mallocs answers how many heap objects the sidecar has made since its start. The profile's text says it at its end; it makes
// the same number of objects each time but the first (the metrics page does not).
func mallocs(w *way) (float64, error) {
	text, err := w.get(adminPort, "/debug/pprof/heap?debug=1", 10*time.Second)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "# Mallocs = "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("the sidecar's heap profile does not tell Mallocs")
}
