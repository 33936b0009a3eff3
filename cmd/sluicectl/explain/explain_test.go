package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/explanation"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func TestMain(m *testing.M) { meshtest.Main(m) }

func run(in string, args ...string) (status int, out, problems string) {
	var o, p strings.Builder
	status = Run(args, strings.NewReader(in), &o, &p)
	return status, o.String(), p.String()
}

// serve answers where a server of HTTP/1.1 and of HTTP/2 is.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// sidecar answers as a sidecar does whose answer is explained so.
func sidecar(t *testing.T, e explanation.Explanation, status int, text string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Add(explanation.Field, "service=other/before:80") // of a sidecar behind the application
		w.Header().Add(explanation.Field, e.String())
		w.WriteHeader(status)
		io.WriteString(w, text)
	})
}

const (
	us = time.Microsecond
	ms = time.Millisecond
)

func TestTable(t *testing.T) {
	failedOver := explanation.Explanation{Service: "shop/orders:80", Policy: "least-request", Endpoint: "10.0.0.2:8080", Pod: "orders-1", Attempts: 3, Time: 7 * ms, Answered: 2 * ms,
		Tried: []explanation.Attempt{{Endpoint: "10.0.0.1:8080", Outcome: "connect-failed", Took: 45 * us}, {Endpoint: "10.0.0.3:8080", Outcome: "server-error", Status: 503, Took: 1500 * us}},
		Key: explanation.Key{Key: "header:account-id", Hash: "65c46c67cf688e28", Map: "slot 26052 of 65536", Owner: "orders-0", To: "failover",
			Reason: "owner was tried"}}
	refused := explanation.Explanation{Service: "shop/orders:80", Policy: "least-request", Endpoint: explanation.None, Time: 30 * ms,
		Key: explanation.Key{Key: "header:account-id", Hash: "65c46c67cf688e28", Owner: "orders-0", To: explanation.None, Waited: true,
			Reason: "owner is not ready, the request has waited 30ms (sluice.mesh/shard-fallback: wait=30ms)"}}
	for name, c := range map[string]struct {
		e      explanation.Explanation
		status int
		text   string
		args   []string
		want   string
	}{
		"the next pod, after two others": {failedOver, 200, "hello", nil, `
status    200 OK
protocol  HTTP/1.1
service   shop/orders:80
policy    least-request
endpoint  10.0.0.2:8080, orders-1
time      7ms
key       header:account-id
hash      65c46c67cf688e28
place     slot 26052 of 65536
owner     orders-0
so        sent to another pod: owner was tried
attempts  3

     ENDPOINT       END               TIME
  1  10.0.0.1:8080  connect-failed    45µs
  2  10.0.0.3:8080  server-error 503  1.5ms
  3  10.0.0.2:8080  answered 200      2ms
`},
		"nobody": {refused, 503, "sluice: pod orders-0 owns the key\n\x1b[2J", []string{"--http2"}, `
status    503 Service Unavailable
protocol  HTTP/2.0
service   shop/orders:80
policy    least-request
endpoint  none: the sidecar itself answered
it says   sluice: pod orders-0 owns the key??[2J
time      30ms
key       header:account-id
hash      65c46c67cf688e28
owner     orders-0
so        waited, then sent to nobody: owner is not ready, the request has waited 30ms (sluice.mesh/shard-fallback: wait=30ms)
attempts  0
`},
		"no keys, and an attempt that had not ended": {explanation.Explanation{Service: "a/b:80", Policy: "random", Endpoint: "[fd00::1]:80", Pod: "[fd00::1]:80", Attempts: 2, Time: 7 * ms},
			404, "", nil, `
status    404 Not Found
protocol  HTTP/1.1
service   a/b:80
policy    random
endpoint  [fd00::1]:80
time      7ms
attempts  2

     ENDPOINT      END           TIME
  1  [fd00::1]:80  answered 404  -
  and 1 that had not ended
`},
	} {
		status, out, problems := run("", append(c.args, sidecar(t, c.e, c.status, c.text))...)
		if status != 0 || problems != "" || out != c.want[1:] {
			t.Errorf("%s: status %d %s\n%s\nwant\n%s", name, status, problems, out, c.want)
		}
	}
}

func TestWhatBecameOfAKey(t *testing.T) {
	for want, k := range map[string]explanation.Key{
		"sent to the owner":                                           {Owner: "a", To: "owner"},
		"waited, then sent to the owner":                              {Owner: "a", To: "owner", Waited: true},
		"sent to another pod: owner has more than its share":          {Owner: "a", To: "bounded-load", Reason: "owner has more than its share"},
		"balanced like any other request: absent of header:account":   {Key: "none", Reason: "absent of header:account"},
		"sent to nobody: absent of header:account":                    {Key: "none", To: "none", Reason: "absent of header:account"},
		"balanced like any other request: no-place":                   {Key: "header:x", Owner: "none", Reason: "no-place"},
		"balanced like any other request: new":                        {Session: "sid", Reason: "new"},
		"somewhere that a newer sidecar has a word for: it is sunday": {To: "somewhere that a newer sidecar has a word for", Reason: "it is sunday"},
	} {
		if got := became(k); got != want {
			t.Errorf("%+v: %q, want %q", k, got, want)
		}
	}
}

func TestJSON(t *testing.T) {
	e := explanation.Explanation{Service: "shop/orders:80", Policy: "rr", Endpoint: "10.0.0.2:8080", Pod: "orders-1", Attempts: 2, Time: 7 * ms, Answered: 2 * ms,
		Tried: []explanation.Attempt{{Endpoint: "10.0.0.1:8080", Outcome: "connect-failed", Took: 45 * us}}, Key: explanation.Key{Key: "header:a", To: "owner", Owner: "orders-1"}}
	for _, flag := range []string{"--output=json", "-o=json"} {
		status, out, problems := run("", flag, sidecar(t, e, 200, ""))
		var got view
		if err := json.Unmarshal([]byte(out), &got); err != nil || status != 0 || problems != "" {
			t.Fatalf("%d %v %s\n%s", status, err, problems, out)
		}
		if fmt.Sprint(got.Attempts) != "[{10.0.0.1:8080 connect-failed 0 4.5e-05} {10.0.0.2:8080 answered 200 0.002}]" || *got.Shard != e.Key || got.Seconds != 0.007 ||
			got.Begun != 2 || got.Pod != "orders-1" || got.Protocol != "HTTP/1.1" {
			t.Errorf("got %s", out)
		}
	}
}

// The request that is sent is the one that was asked for.
func TestTheRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := ""
	url := serve(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		got = fmt.Sprintf("%s %s %s %s %q %q %s %q", q.Method, q.Proto, q.Host, q.URL, body, q.Header["X"], q.Header.Get(explanation.Field), q.Header["Accept-Encoding"])
		w.Header().Set(explanation.Field, "service=a/b:80")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(302)
	})
	host := strings.TrimPrefix(url, "http://")
	for _, c := range []struct {
		in   string
		args []string
		want string
	}{
		{"", []string{url + "/a?b=c"}, `GET HTTP/1.1 ` + host + ` /a?b=c "" [] 1 []`},
		{"", []string{"-X", "PURGE", "-H", "X: 1", "-H", "x:2", "-H", "Host: orders.shop", host}, `PURGE HTTP/1.1 orders.shop / "" ["1" "2"] 1 []`},
		{"", []string{"-d", "text", url}, `POST HTTP/1.1 ` + host + ` / "text" [] 1 []`},
		{"", []string{"-d", "@" + file, "-X", "PUT", url}, `PUT HTTP/1.1 ` + host + ` / "of a file" [] 1 []`},
		{"typed", []string{"-d", "@-", "--http2", url}, `POST HTTP/2.0 ` + host + ` / "typed" [] 1 []`},
		{"", []string{"-d", "", url}, `POST HTTP/1.1 ` + host + ` / "" [] 1 []`},
	} {
		if status, _, problems := run(c.in, c.args...); status != 0 || problems != "" || got != c.want {
			t.Errorf("%q: %d %s\nsent %s\nwant %s", c.args, status, problems, got, c.want)
		}
	}
}

// gRPC says how a call ended in trailers, or in the head where there is nothing else.
func TestGRPC(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(explanation.Field, "service=a/b:80; endpoint=1.2.3.4:80")
		if q.URL.Path == "/trailers" {
			w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
			w.WriteHeader(200)
		}
		w.Header().Set("Grpc-Status", "5")
		w.Header().Set("Grpc-Message", "no such%20thing")
	})
	for _, path := range []string{"/trailers", "/head"} {
		if _, out, problems := run("", "--http2", "-H", "Content-Type: application/grpc", "-d", "\x00\x00\x00\x00\x00", url+path); problems != "" ||
			!strings.Contains(out, "\ngrpc-status  5 no such thing\n") {
			t.Errorf("%s: %s\n%s", path, out, problems)
		}
	}
}

func TestNoExplanation(t *testing.T) {
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	to := strings.TrimPrefix(plain, "http://127.0.0.1:")
	clusters := func(name, protocol, settings string) string {
		return "--admin=" + strings.TrimPrefix(serve(t, func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/clusters" {
				fmt.Fprintf(w, `{"clusters": [{"name": "other/things:%s", "protocol": "tcp"}, {"name": "%s", "protocol": %q, "settings": {%s}}]}`, to, name, protocol, settings)
			}
		}), "http://")
	}
	here := "http://localhost:" + to
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"the Service does not allow it": {[]string{clusters("shop/localhost:"+to, "undeclared", ""), here},
			[]string{"the answer, 200 OK, has no explanation. Service shop/localhost:" + to + " does not allow it: kubectl annotate service -n shop localhost sluice.mesh/explain=header\n"}},
		"two Services": {[]string{clusters("shop/localhost:"+to+`", "protocol": "http"}, {"name": "store/localhost:`+to, "http", ""), here},
			[]string{"may be any of shop/localhost:" + to + ", store/localhost:" + to + ": ask with its namespace"}},
		"its bytes are not read": {[]string{clusters("shop/localhost:"+to, "tcp", `"sluice.mesh/explain": "on"`), here}, []string{"is declared tcp (appProtocol"}},
		"it should have one":     {[]string{clusters("shop/localhost:"+to, "http", `"sluice.mesh/explain": "on"`), here}, []string{"allows explanations (sluice.mesh/explain: on), so"}},
		"another Service":        {[]string{clusters("shop/orders:"+to, "http", ""), here}, []string{"knows no Service of that name and port", "it knows: other/things:" + to + ", shop/orders:" + to}},
		"another port":           {[]string{clusters("shop/localhost:1", "http", ""), here}, []string{"knows no Service of that name and port"}},
		"an address":             {[]string{clusters("shop/localhost:"+to, "http", ""), plain}, []string{"knows no Service of that name and port", "kubectl annotate service NAME sluice.mesh/explain=header"}},
		"a request to all":       {[]string{"-H", "sluice-scatter: all", here}, []string{"it says itself what each pod answered"}},
		"no sidecar": {[]string{"--admin=" + meshtest.HoldPort(t).String(), here}, []string{"No sidecar says why: ", "connection refused", "is the pod injected?",
			"sluice.mesh/explain=header"}},
		"no sidecar's admin port": {[]string{"--admin=" + strings.TrimPrefix(plain, "http://"), here}, []string{"/clusters: invalid character"}},
	} {
		status, out, problems := run("", c.args...)
		if status != 1 || out != "" {
			t.Errorf("%s: status %d %s", name, status, out)
		}
		for _, want := range c.want {
			if !strings.Contains(problems, want) {
				t.Errorf("%s: %s\nwant %s", name, problems, want)
			}
		}
	}
	s := settings{user: proxyUser}
	if got := s.why(t.Context(), nil); !strings.Contains(got, "runs as user 15301") {
		t.Errorf("as the proxy's user: %s", got)
	}
}

func TestNoAnswer(t *testing.T) {
	closed := meshtest.HoldPort(t).String()
	silent := serve(t, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() })
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	odd := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(explanation.Field, "because") })
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nobody is there":          {[]string{"http://" + closed + "/a"}, []string{"GET http://" + closed + "/a: no answer of " + closed, "refused"}},
		"silence":                  {[]string{"--timeout=50ms", "-X", "PUT", silent}, []string{"PUT " + silent + ": no answer of " + silent[7:], "deadline exceeded"}},
		"the end":                  {[]string{cut}, []string{"no answer of " + cut[7:], "EOF"}},
		"the end, by HTTP/2":       {[]string{"--http2", cut}, []string{"no answer of " + cut[7:]}},
		"another kind of field":    {[]string{odd}, []string{odd[7:] + `: sluice-explain: "because" cannot be read: it names no Service`}},
		"TLS":                      {[]string{"https://orders/"}, []string{"by TLS the sidecar passes on unread"}},
		"another scheme":           {[]string{"ftp://orders/"}, []string{"want http://HOST/PATH"}},
		"no host":                  {[]string{"http:///x"}, []string{"want http://HOST/PATH"}},
		"no URL":                   {nil, []string{"Usage"}},
		"a flag behind":            {[]string{odd, "--http2"}, []string{"one URL, and flags before it"}},
		"a field without a colon":  {[]string{"-H", "x", odd}, []string{"want NAME: VALUE"}},
		"a field of several lines": {[]string{"-H", "x: 1\r\ny: 2", odd}, []string{"want NAME: VALUE"}},
		"a file that is not there": {[]string{"-d", "@/none", odd}, []string{"/none"}},
		"a method that is none":    {[]string{"-X", "A B", odd}, []string{"A B"}},
		"a format that is none":    {[]string{"-o", "yaml", odd}, []string{"want table or json"}},
		"an unknown flag":          {[]string{"--all"}, []string{"all"}},
	} {
		status, out, problems := run("", c.args...)
		if status != 2 || out != "" {
			t.Errorf("%s: status %d %s", name, status, out)
		}
		for _, want := range c.want {
			if !strings.Contains(problems, want) {
				t.Errorf("%s: %s\nwant %s", name, problems, want)
			}
		}
	}
	if status, out, _ := run("", "--help"); status != 0 || !strings.HasPrefix(out, "Usage: sluicectl explain") {
		t.Errorf("help: %d %s", status, out)
	}
}
