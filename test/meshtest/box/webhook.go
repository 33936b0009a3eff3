package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"
)

// webhook sets the annotation box.test/mutated on every pod. It answers
// admission reviews (admission.k8s.io/v1), to see that an API server reaches a
// webhook: as small as one can be.
func webhook(ctx context.Context, args []string, _ io.Writer) error {
	fs := flag.NewFlagSet("webhook", flag.ContinueOnError)
	addr := fs.String("addr", ":9443", "HTTPS address")
	cert := fs.String("cert", "", "certificate file")
	key := fs.String("key", "", "key file")
	if err := parse(fs, args, 0); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	srv := &http.Server{Addr: *addr, Handler: http.HandlerFunc(review), ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { srv.Close() })
	log.Info("listening", "server", "webhook", "address", *addr)
	if err := srv.ListenAndServeTLS(*cert, *key); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func review(w http.ResponseWriter, r *http.Request) {
	var in struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Request    struct {
			UID    string `json:"uid"`
			Object struct {
				Metadata struct {
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
			} `json:"object"`
		} `json:"request"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	type step struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	var patch []step
	if in.Request.Object.Metadata.Annotations == nil {
		patch = append(patch, step{"add", "/metadata/annotations", map[string]string{}})
	}
	patch = append(patch, step{"add", "/metadata/annotations/box.test~1mutated", "yes"})
	raw, err := json.Marshal(patch)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	printJSON(w, map[string]any{"apiVersion": in.APIVersion, "kind": in.Kind, "response": map[string]any{
		"uid": in.Request.UID, "allowed": true, "patchType": "JSONPatch", "patch": raw}})
}
