package explain

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
)

// answer is what came back.
type answer struct {
	status   int
	protocol string
	grpc     string // the call's grpc-status, with its message; "" of what is no gRPC
	said     string // of an answer that the sidecar itself gave: its text
	explanation.Explanation
}

// said bounds how much of a body is read.
const said = 64 << 10

// ask sends the request. An answer without an explanation is an *errUnexplained.
func (s *settings) ask(ctx context.Context, to *url.URL, body []byte) (*answer, error) {
	method := s.method
	if method == "" {
		method = http.MethodGet
		if s.body {
			method = http.MethodPost
		}
	}
	at := "" // the address behind the name
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(_, address string) { at = address },
		GotConn:      func(c httptrace.GotConnInfo) { at = c.Conn.RemoteAddr().String() },
	})
	q, err := http.NewRequestWithContext(ctx, method, to.String(), nil)
	if err != nil {
		return nil, err
	}
	if s.body {
		q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	q.Header = s.fields.Clone()
	q.Host = q.Header.Get("Host")
	q.Header.Del("Host")
	if q.Header.Get("User-Agent") == "" {
		q.Header.Set("User-Agent", "sluicectl")
	}
	q.Header.Set(explanation.Field, "1")
	// No redirect is followed, nothing asked by way of another proxy, nothing sent again: the request is to be the one that is explained.
	t := &http.Transport{Protocols: &http.Protocols{}, DisableCompression: true, DisableKeepAlives: !s.http2}
	defer t.CloseIdleConnections()
	t.Protocols.SetHTTP1(!s.http2)
	t.Protocols.SetUnencryptedHTTP2(s.http2)
	res, err := t.RoundTrip(q)
	if err != nil {
		return nil, fmt.Errorf("%s %s: no answer of %s: %w", method, to.Redacted(), cmp.Or(at, to.Host), err)
	}
	defer res.Body.Close()
	lines := res.Header.Values(explanation.Field)
	if len(lines) == 0 {
		return nil, &errUnexplained{status: res.Status}
	}
	a := &answer{status: res.StatusCode, protocol: res.Proto}
	// The nearest sidecar's is the last: an application may pass on what was explained to itself.
	if a.Explanation, err = explanation.Parse(lines[len(lines)-1]); err != nil {
		return nil, fmt.Errorf("%s: %s: %q cannot be read: %w", at, explanation.Field, lines[len(lines)-1], err)
	}
	s.rest(res, a)
	return a, nil
}

// rest reads what else of an answer is told: not the body that an application sends, which may have no end.
func (s *settings) rest(res *http.Response, a *answer) {
	isGRPC := strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc")
	if !isGRPC && a.Endpoint != explanation.None {
		return
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, said))
	if !isGRPC {
		a.said = strings.TrimSpace(string(body))
		return
	}
	_, err := io.Copy(io.Discard, res.Body) // trailers come behind all of it
	value := func(name string) string { return cmp.Or(res.Trailer.Get(name), res.Header.Get(name)) }
	a.grpc = value("Grpc-Status")
	if a.grpc == "" && err != nil {
		a.grpc = "not known, since the answer has not ended: " + err.Error()
		return
	}
	if message := value("Grpc-Message"); message != "" {
		if text, err := url.PathUnescape(message); err == nil {
			message = text
		}
		a.grpc += " " + message
	}
}
