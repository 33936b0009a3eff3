package attack

import (
	"io"
	"net/http"
)

// bigSize is the length of a big answer, in bytes.
const bigSize = 4 << 20

// Handler answers the paths of the attacks.
func Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc(Quick, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, Answer) })
	m.HandleFunc(Hold, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	m.HandleFunc(Big, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 64<<10)
		for range bigSize / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	return m
}
