package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/sluice-mesh/sluice/sidecar/directory"
)

// manySuccessors is how many of a key's order are told at most; each takes time in proportion to the number of pods.
const manySuccessors = 100

// shard answers GET /shard?service=NAMESPACE/NAME[:PORT]&key=K[&key=…][&successors=N]: who owns a key. There is one key= for each
// part of a Service's shard-key, in its order.
func (s *Server) shard(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	successors := 5
	if text := query.Get("successors"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > manySuccessors {
			writeError(w, http.StatusBadRequest, fmt.Errorf("successors=%q: want a number from 0 to %d", text, manySuccessors))
			return
		}
		successors = n
	}
	t, err := directory.Find(s.o.Resolver.Status().Targets, query.Get("service"))
	if missing := (*directory.NotFoundError)(nil); errors.As(err, &missing) {
		writeError(w, http.StatusNotFound, fmt.Errorf("%w; a sidecar knows the Services that its pod has called of late", err))
		return
	} else if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	answer, err := directory.Ask(t, query["key"], successors)
	switch {
	case errors.Is(err, directory.ErrNoMap):
		writeError(w, http.StatusNotFound, err)
	case err != nil:
		writeError(w, http.StatusBadRequest, err)
	default:
		writeJSON(w, answer)
	}
}

func writeError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
