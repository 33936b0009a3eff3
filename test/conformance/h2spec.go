package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	h2specCases = 145
	// h2specLimit is for the whole suite: every case that fails waits for two seconds.
	h2specLimit = 5 * time.Minute
)

// h2spec makes a suite of h2spec's cases against the proxy's downstream side. That is held to the specification, not to what the server
// behind it does, so that there is no direct column; the byte copy's shows the server. A destination without a Service is not looked at
// as HTTP/2.
func h2spec(differences ...difference) *suite {
	s := &suite{name: "h2spec", source: "github.com/summerwind/h2spec@v2.2.1", quick: true, least: h2specCases, columns: []string{copied, asAService},
		prepare: buildPrograms("github.com/summerwind/h2spec/cmd/h2spec"), differences: differences}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) { return runH2spec(ctx, dir, r) }
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		var names []string
		if name != theRun {
			names = append(names, name)
		}
		rs, err := runH2spec(ctx, dir, r, names...)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

// h2specReport is what h2spec writes: a test suite for each section, with its cases in order.
type h2specReport struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Cases   []struct {
			Does  string  `xml:"classname,attr"`
			Time  float64 `xml:"time,attr"`
			Error *string `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// runH2spec runs all cases, or the named ones, against a server that speaks HTTP/2 with prior knowledge.
func runH2spec(ctx context.Context, dir string, r *rig, names ...string) (results, error) {
	l, err := r.Listen("tcp", serverAddr)
	if err != nil {
		return nil, err
	}
	// Cases that do something wrong on an open stream find it ended, and other frames than they want, where the answer comes before that.
	answers := server()
	whole := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		io.Copy(io.Discard, q.Body)
		answers.ServeHTTP(w, q)
	})
	server := &http.Server{Handler: whole, Protocols: new(http.Protocols), ErrorLog: log.New(io.Discard, "", 0)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(politeListener{l})
	defer server.Close()
	target := serverAddr
	if r.name == asAService {
		target = declaredAddr
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, h2specLimit)
	defer cancel()
	file := filepath.Join(dir, fileName(r.name)+".xml")
	if err := os.RemoveAll(file); err != nil {
		return nil, err
	}
	cmd := r.Command(ctx, filepath.Join(dir, "h2spec"), append([]string{"-h", host, "-p", port, "-j", file}, names...)...)
	out, runErr := cmd.CombinedOutput() // ends with 1 when a case failed
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("h2spec: %w: %v: %s", err, runErr, lastLine(string(out)))
	}
	rs, err := parseH2spec(text)
	if err == nil {
		rs.endedBadly(runErr, lastLine(string(out)))
	}
	return rs, err
}

// parseH2spec names each case by section and place ("http2/6.5.3/1"), which is also how h2spec is told to run it alone.
func parseH2spec(text []byte) (results, error) {
	var rep h2specReport
	if err := xml.Unmarshal(text, &rep); err != nil {
		return nil, fmt.Errorf("h2spec: %w", err)
	}
	rs := results{}
	for _, s := range rep.Suites {
		for i, c := range s.Cases {
			v := verdict{ok: c.Error == nil, took: time.Duration(c.Time * float64(time.Second))}
			if !v.ok {
				lines := strings.Split(strings.TrimSpace(*c.Error), "\n")
				v.detail = fmt.Sprintf("%s: wants %s; got %s", c.Does, strings.Join(lines[:len(lines)-1], " or "), lines[len(lines)-1])
			}
			rs[fmt.Sprintf("%s/%d", s.Package, i+1)] = v
		}
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("h2spec: a report without cases")
	}
	return rs, nil
}

// politeListener's connections are closed so that no reset is sent for what is not read any more: h2spec does not count a reset as the
// end of a connection, and what does not begin as HTTP/2 reaches the server as it is.
type politeListener struct{ net.Listener }

func (l politeListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if t, ok := c.(*net.TCPConn); ok {
		return politeConn{t}, nil
	}
	return c, err
}

type politeConn struct{ *net.TCPConn }

// politeTime is for how long a closed connection still takes what comes.
const politeTime = 100 * time.Millisecond

func (c politeConn) Close() error {
	err := c.CloseWrite()
	go func() {
		defer c.TCPConn.Close()
		c.SetReadDeadline(time.Now().Add(politeTime)) // on a connection that is gone, the copy ends as well
		io.Copy(io.Discard, c.TCPConn)
	}()
	return err
}
