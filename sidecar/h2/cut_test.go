package h2

import (
	"testing"

	"golang.org/x/net/http2"
)

func TestAnAnswerThatIsCut(t *testing.T) {
	const lost = "HEADERS 3 grpc-status=14 grpc-message=sluice: the connection to the endpoint was lost within the answer end"
	grpc := []string{"content-type=application/grpc", "te=trailers"}
	begin := func(t *testing.T, fields ...string) (r *rig, c, s *peer) {
		r, c, s = pair(t, nil)
		c.post(3, fields...)
		s.want(asked("POST", 3, fields...), "")
		s.ok(3, false, fields[0])
		c.want("HEADERS 3 :status=200 "+fields[0], "")
		s.WriteData(3, false, []byte("part"))
		c.want(`DATA 3 "part"`, "")
		return r, c, s
	}
	t.Run("by the end of the connection", func(t *testing.T) {
		r, c, s := begin(t, "content-type=text/plain")
		s.c.Close()
		c.want("RST_STREAM 3 INTERNAL_ERROR", "an end would look like a whole answer")
		r.was("head 200 grpc -1 last false", "ended 200 grpc -1 truncated true gone false")
	})
	t.Run("by the end of the connection, gRPC", func(t *testing.T) {
		r, c, s := begin(t, grpc...)
		s.c.Close()
		c.want(lost, "as gRPC's libraries say it when it is their own connection")
		c.want("RST_STREAM 3 NO_ERROR", "nobody takes the rest of the request")
		r.was("head 200 grpc -1 last false", "ended 200 grpc 14 truncated true gone false")
	})
	t.Run("by the endpoint's reset, gRPC", func(t *testing.T) {
		r, c, s := begin(t, grpc...)
		s.WriteRSTStream(3, http2.ErrCodeCancel)
		c.want("RST_STREAM 3 CANCEL", "the endpoint's own word")
		r.was("head 200 grpc -1 last false", "ended 200 grpc -1 truncated true gone false")
	})
	t.Run("by an answer that breaks the rules, gRPC", func(t *testing.T) {
		_, c, s := begin(t, grpc...)
		s.head(3, false, "x-not=the-end")
		c.want("RST_STREAM 3 PROTOCOL_ERROR", "that is no lost connection")
		s.want("RST_STREAM 3 PROTOCOL_ERROR", "")
	})
	t.Run("while it waits for the client's window, gRPC", func(t *testing.T) {
		r := newRig(t, 1, nil)
		c := r.client(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
		c.post(1, grpc...)
		s := r.server(0)
		s.want(asked("POST", 1, grpc...), "")
		s.ok(1, false)
		s.WriteData(1, false, []byte("enough"))
		c.want("HEADERS 1 :status=200", "")
		c.want(`DATA 1 "eno"`, "")
		s.c.Close()
		r.was("head 200 grpc -1 last false", "ended 200 grpc 14 truncated true gone false")
		c.WriteWindowUpdate(1, 100)
		c.want(`DATA 1 "ugh"`, "what came is not lost")
		c.want("HEADERS 1 grpc-status=14 grpc-message=sluice: the connection to the endpoint was lost within the answer end", "")
		c.want("RST_STREAM 1 NO_ERROR", "")
	})
}
