package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/rules"
	"github.com/sluice-mesh/sluice/sidecar/scatter"
)

func TestScatter(t *testing.T) {
	protocols(t, func(t *testing.T, client func(r *rig) *http.Client) {
		all := func(t *testing.T, p *pods, cl *http.Client, method, body string, want int) (a scatter.Answer) {
			t.Helper()
			status, text, h := ask(t, cl, method, "/caches?x=1", body, "sluice-scatter: all", "x-other: 1")
			if status != want {
				t.Fatalf("%d %q, want %d", status, text, want)
			}
			if h.Get("Content-Type") != "application/json" {
				t.Errorf("content type %q", h.Get("Content-Type"))
			}
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if a.Service != "default/web:80" || a.Status != want || len(a.Pods) != len(p.eps) {
				t.Fatalf("%+v", a)
			}
			for i, pod := range a.Pods {
				if pod.Pod != p.eps[i].Name || pod.Endpoint != p.eps[i].Addr.String() {
					t.Errorf("%d: %+v", i, pod)
				}
			}
			return a
		}
		on := func(r *rules.Rules) { r.Scatter = true }
		t.Run("all answer", func(t *testing.T) {
			p := newPods(t, 40, on) // more than are asked at a time
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				b, _ := io.ReadAll(q.Body)
				fmt.Fprintf(w, "%s%s%s %d%s%s%s%s ", q.Method, q.Host, q.URL, q.ProtoMajor, b, q.Header["X-Other"], q.Header["Sluice-Scatter"], q.UserAgent())
			})
			cl := client(p.r)
			major := "2"
			if strings.Contains(t.Name(), "HTTP/1.1") {
				major = "1"
			}
			for n := range 3 {
				a := all(t, p, cl, "POST", strings.Repeat("b", n), 200)
				for i, pod := range a.Pods {
					want := fmt.Sprintf("POSTweb/caches?x=1 %s%s[1][]%s web-%d", major, strings.Repeat("b", n), "Go-http-client/"+map[string]string{"1": "1.1", "2": "2.0"}[major], i)
					if pod.Status != 200 || pod.Body != want || pod.Headers["Pod"][0] != pod.Pod || pod.Size != int64(len(want)) || len(pod.Digest) != 64 {
						t.Fatalf("%+v, want %q", pod, want)
					}
				}
			}
			p.r.counts("requests scattered", 3, p.r.service().Scattered.Load)
			if n := p.r.m.Loop(0).Accepted.Load(); n != 1 {
				t.Errorf("%d connections of the client, want one that was kept", n)
			}
			cl.CloseIdleConnections()
		})
		t.Run("some do not", func(t *testing.T) {
			p := newPods(t, 5, func(r *rules.Rules) { on(r); r.Timeout = time.Second })
			hold := make(chan bool)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				switch pod {
				case 1:
					w.WriteHeader(404)
				case 2:
					w.Write([]byte{0xff})
				case 3:
					<-hold
				}
			})
			p.kill(4)
			cl := client(p.r)
			a := all(t, p, cl, "GET", "", 207)
			if a.Pods[0].Status != 200 || a.Pods[1].Status != 404 || a.Pods[2].Base64 == "" || a.Pods[2].Body != "" {
				t.Errorf("%+v", a.Pods)
			}
			if a.Pods[3].Error != "no answer within 1s" || !strings.Contains(a.Pods[4].Error, "refused") || a.Pods[4].Status != 0 {
				t.Errorf("%+v", a.Pods)
			}
			close(hold)
			cl.CloseIdleConnections()
		})
		t.Run("a body that comes late takes of the time", func(t *testing.T) {
			p := newPods(t, 2, func(r *rules.Rules) { on(r); r.Timeout = time.Second })
			hold := make(chan bool)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if pod == 1 {
					<-hold
				}
			})
			cl := client(p.r)
			body, end := io.Pipe()
			go func() {
				io.WriteString(end, "all but")
				time.Sleep(700 * time.Millisecond)
				end.Close()
			}()
			q, _ := http.NewRequest("POST", "http://web/", body)
			q.Header.Set("Sluice-Scatter", "all")
			began := time.Now()
			res, err := cl.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if took := time.Since(began); res.StatusCode != 207 || !strings.Contains(string(text), "no answer within 1s") || took > 1400*time.Millisecond {
				t.Errorf("%d %s after %v, want 207 after a second", res.StatusCode, text, took)
			}
			close(hold)
			cl.CloseIdleConnections()
		})
		t.Run("none does", func(t *testing.T) {
			p := newPods(t, 2, on)
			p.kill(0)
			p.kill(1)
			cl := client(p.r)
			all(t, p, cl, "GET", "", 502)
			cl.CloseIdleConnections()
		})
		t.Run("large answers", func(t *testing.T) {
			p := newPods(t, 80, on)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				if pod == 0 {
					io.WriteString(w, strings.Repeat("x", 100_000))
				} else {
					io.WriteString(w, strings.Repeat("y", 60_000))
				}
			})
			cl := client(p.r)
			a := all(t, p, cl, "GET", "", 200)
			bodies := 0
			for i, pod := range a.Pods {
				bodies += len(pod.Body)
				if pod.Digest == "" || i > 0 && pod.Size < 60_000 {
					t.Errorf("%d: %d bytes, digest %q", i, pod.Size, pod.Digest)
				}
			}
			if a.Pods[0].Body != "" || a.Pods[0].Size < 100_000 || bodies < 2<<20 || bodies > 4<<20 {
				t.Errorf("%d bytes of bodies in all, %d of the largest", bodies, len(a.Pods[0].Body))
			}
			cl.CloseIdleConnections()
		})
		t.Run("what is not sent to everybody", func(t *testing.T) {
			p := newPods(t, 2, on)
			cl := client(p.r)
			for _, c := range []struct {
				body   string
				field  string
				status int
				text   string
			}{
				{"", "sluice-scatter: some", 400, `sluice: sluice-scatter: "some" is unknown, allowed is all` + "\n"},
				{strings.Repeat("x", 80_000), "sluice-scatter: all", 413, "sluice: the body is too large to be sent to every endpoint: at most 64 KiB are\n"},
			} {
				if status, text, _ := ask(t, cl, "POST", "/", c.body, c.field); status != c.status || text != c.text {
					t.Errorf("%d %q, want %d %q", status, text, c.status, c.text)
				}
			}
			cl.CloseIdleConnections()
		})
		t.Run("the most of a body", func(t *testing.T) {
			p := newPods(t, 1, on)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				b, _ := io.ReadAll(q.Body)
				fmt.Fprint(w, len(b), " ")
			})
			cl := client(p.r)
			for _, size := range []int{64 << 10, 64<<10 + 1, 70_000} {
				for _, chunked := range []bool{false, true} {
					var b io.Reader = strings.NewReader(strings.Repeat("x", size))
					if chunked {
						text, end := b, (*io.PipeWriter)(nil)
						b, end = io.Pipe()
						go func() {
							io.Copy(end, text)
							time.Sleep(10 * time.Millisecond) // or the end comes with the rest
							end.Close()
						}()
					}
					req, _ := http.NewRequest("POST", "http://web/", b)
					req.Header.Set("Sluice-Scatter", "all")
					res, err := cl.Do(req)
					want := 413
					if size == 64<<10 {
						want = 200
					}
					if text := body(t, res, err); err == nil && (res.StatusCode != want || want == 200 && !strings.Contains(text, `"body":"65536 web-0"`)) {
						t.Errorf("%d bytes, chunked %v: %d %q, want %d", size, chunked, res.StatusCode, text, want)
					}
				}
			}
			cl.CloseIdleConnections()
		})
		t.Run("one more than may be under way", func(t *testing.T) {
			p := newPods(t, 1, on)
			hold := make(chan bool)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) { <-hold })
			cl := client(p.r)
			statuses := make(chan int, scattersMost+1)
			var bodies []*io.PipeWriter
			for range scattersMost + 1 {
				b, end := io.Pipe()
				bodies = append(bodies, end)
				req, _ := http.NewRequest("POST", "http://web/", b)
				req.Header.Set("Sluice-Scatter", "all")
				go func() {
					res, err := cl.Do(req)
					if body(t, res, err); err == nil {
						statuses <- res.StatusCode
					}
				}()
				io.WriteString(end, "x")
			}
			for _, end := range bodies {
				end.Close()
			}
			if s := got(t, statuses, "an answer"); s != 503 {
				t.Errorf("%d, want 503", s)
			}
			close(hold)
			for range scattersMost {
				if s := got(t, statuses, "an answer"); s != 200 {
					t.Errorf("%d, want 200", s)
				}
			}
			cl.CloseIdleConnections()
		})
		t.Run("lists that nobody reads", func(t *testing.T) {
			p := newPods(t, 4, on)
			cl := client(p.r)
			cl.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10}
			for _, ep := range p.eps {
				ep.Name += strings.Repeat("x", 2_000_000) // a list of 8 MB is more than the kernel takes
			}
			p.publish()
			scattered := func() *http.Response {
				req, _ := http.NewRequest("GET", "http://web/", nil)
				req.Header.Set("Sluice-Scatter", "all")
				res, err := cl.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				return res
			}
			var unread []*http.Response
			for range scattersMost {
				unread = append(unread, scattered())
			}
			res := scattered()
			if text := body(t, res, nil); res.StatusCode != 503 || !strings.Contains(text, "8 requests are on their way to every endpoint, or their answers back, already") {
				t.Errorf("%d %.100q beside %d lists that are held, want 503", res.StatusCode, text, scattersMost)
			}
			for i, res := range unread {
				if i == 0 {
					res.Body.Close() // the client has gone
				} else if text := body(t, res, nil); res.StatusCode != 200 || len(text) < 8_000_000 {
					t.Errorf("%d, %d bytes", res.StatusCode, len(text))
				}
			}
			p.r.eventually("the places to be free", func() (none bool) {
				p.r.on(func() { none = p.r.w.scatters == 0 })
				return none
			})
			if res := scattered(); res.StatusCode != 200 || len(body(t, res, nil)) < 8_000_000 {
				t.Errorf("%d once they are gone", res.StatusCode)
			}
			cl.CloseIdleConnections()
		})
		t.Run("a Service that does not allow it", func(t *testing.T) {
			p := newPods(t, 2, func(*rules.Rules) {})
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				io.WriteString(w, q.Header.Get("Sluice-Scatter")+" ")
			})
			cl := client(p.r)
			if status, text, _ := ask(t, cl, "GET", "/", "", "sluice-scatter: all"); status != 200 || text != "all web-0" {
				t.Errorf("%d %q", status, text)
			}
			cl.CloseIdleConnections()
		})
		t.Run("the client leaves", func(t *testing.T) {
			p := newPods(t, 2, on)
			hold, entered := make(chan bool), make(chan bool, 2)
			p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
				entered <- true
				select {
				case <-hold:
				case <-q.Context().Done():
				}
			})
			raw := p.r.dial()
			raw.send(lines("GET / HTTP/1.1", "Host: web", "Sluice-Scatter: all"))
			got(t, entered, "the first pod")
			got(t, entered, "the second pod")
			raw.reset()
			p.r.eventually("the requests to end", func() (none bool) {
				p.r.on(func() { none = p.r.w.scatters == 0 })
				return none
			})
			close(hold)
		})
	})
}

func TestScatterKeepsWhatIsTheConnections(t *testing.T) {
	p := newPods(t, 1, func(r *rules.Rules) { r.Scatter = true })
	p.does(func(pod int, w http.ResponseWriter, q *http.Request) {
		fmt.Fprint(w, q.Header["X-Own"], q.Header["X-Too"], q.Header["X-Other"], " ")
	})
	raw := p.r.dial()
	raw.send(lines("GET / HTTP/1.1", "Host: web", "X-Own: 1", "Connection: close,  x-OWN ", "X-Other: 2", "X-Too: 3", "connection: x-too", "Sluice-Scatter: all"))
	if text := raw.rest(); !strings.Contains(text, `"body":"[] [] [2] web-0"`) {
		t.Errorf("%s", text)
	}
}
