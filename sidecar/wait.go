package sidecar

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/config"
)

// Wait is "sidecar wait": it returns 0 once the sidecar in this pod is ready, and 1 when the time is up. Where sidecars are ordinary
// containers a postStart hook runs it, so that the application starts after the proxy.
func Wait(args []string, lookup func(string) (string, bool), stderr io.Writer) int {
	fs := flag.NewFlagSet("sidecar wait", flag.ContinueOnError)
	fs.SetOutput(stderr)
	timeout := fs.Duration("timeout", 30*time.Second, "how long to wait")
	def := "15302"
	if v, ok := lookup(config.Env(config.HealthPort)); ok {
		def = v
	}
	port := fs.String(config.HealthPort, def, "the sidecar's health `port`")
	if fs.Parse(args) != nil {
		return 2
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	last := "no answer yet"
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+*port+"/readyz", nil)
		if err != nil {
			fmt.Fprintln(stderr, "sidecar wait:", err)
			return 2
		}
		if resp, err := http.DefaultClient.Do(req); err != nil {
			last = err.Error()
		} else {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return 0
			}
			last = resp.Status
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			fmt.Fprintf(stderr, "sidecar wait: the sidecar is not ready after %v: %s\n", *timeout, last)
			return 1
		}
	}
}
