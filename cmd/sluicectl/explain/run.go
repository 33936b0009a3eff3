// Package explain is sluicectl explain: one request from where it runs, and how the sidecar there came to the answer.
package explain

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const usage = `Usage: sluicectl explain [flags] URL

Sends one request to a Service, from where it runs, with a header that asks the
sidecar for an explanation, and prints that: which pod answered, after which
attempts at others, and what became of the request's key. It is a request like any
other and has its effects.

It has to run where calls are redirected to a sidecar: inside the pod of an
application that calls the Service. A container that is added to the pod has its
network; it must not run as user 15301, which is the proxy's and that of Sluice's
image, since the calls of that user are not redirected:

    echo '{"securityContext": {"runAsUser": 1000}}' > user.json
    kubectl debug -it POD --image=SLUICE_IMAGE --custom=user.json -- \
        sluicectl explain -H 'account-id: 4711' http://orders.shop/

The Service allows it with the annotation sluice.mesh/explain: header (or on).

Flags:
  -X METHOD          GET, or POST with a body
  -H 'NAME: VALUE'   a header field; any number of them
  -d BODY|@FILE      a body; @- is standard input
  --http2            speak HTTP/2 (prior knowledge), as gRPC does
  --output=FORMAT    table or json; -o for short
  --timeout=DURATION how long to wait for the answer; 30s
  --admin=ADDRESS    of the sidecar's admin port, which is asked why there is no
                     explanation; 127.0.0.1:15303

The exit status is 0 where the answer is explained, whatever it is, 1 where it is
not, and 2 where there is no answer.
`

// settings are the flags.
type settings struct {
	method, data, output, admin string
	body, http2                 bool // there is a body
	fields                      http.Header
	timeout                     time.Duration
	user                        int // who runs the program
}

// Run is the command. It answers the exit status.
func Run(args []string, in io.Reader, out, problems io.Writer) int {
	s := settings{fields: http.Header{}, user: os.Getuid()}
	flags := flag.NewFlagSet("sluicectl explain", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	for _, a := range args {
		if a == "--help" || a == "-help" || a == "-h" {
			flags.SetOutput(out)
		}
	}
	flags.StringVar(&s.method, "X", "", "")
	flags.Func("H", "", s.field)
	flags.Func("d", "", func(v string) error { s.data, s.body = v, true; return nil })
	flags.BoolVar(&s.http2, "http2", false, "")
	flags.StringVar(&s.output, "output", "table", "")
	flags.StringVar(&s.output, "o", "table", "")
	flags.DurationVar(&s.timeout, "timeout", 30*time.Second, "")
	flags.StringVar(&s.admin, "admin", "127.0.0.1:15303", "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 1 {
		fmt.Fprintf(problems, "sluicectl explain: %s: one URL, and flags before it\n", flags.Arg(1))
		return 2
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return 2
	}
	status, err := s.run(flags.Arg(0), in, out)
	if err != nil {
		fmt.Fprintln(problems, "sluicectl explain:", err)
	}
	return status
}

// field takes a header field.
func (s *settings) field(text string) error {
	name, value, ok := strings.Cut(text, ":")
	value = strings.TrimSpace(value)
	if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("want NAME: VALUE")
	}
	s.fields.Add(name, value)
	return nil
}

// errUnexplained is an answer without an explanation.
type errUnexplained struct{ status, why string }

func (e *errUnexplained) Error() string {
	return "the answer, " + e.status + ", has no explanation. " + e.why
}

func (s *settings) run(address string, in io.Reader, out io.Writer) (int, error) {
	if s.output != "table" && s.output != "json" {
		return 2, fmt.Errorf("--output=%s: want table or json", s.output)
	}
	to, err := target(address)
	if err != nil {
		return 2, err
	}
	body, err := s.read(in)
	if err != nil {
		return 2, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	a, err := s.ask(ctx, to, body)
	if err != nil {
		if none := (*errUnexplained)(nil); errors.As(err, &none) {
			none.why = s.why(ctx, to)
			return 1, none
		}
		return 2, err
	}
	if s.output == "json" {
		return 0, printJSON(out, a)
	}
	return 0, printTable(out, a)
}

// target reads the URL, which may be without http://.
func target(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	to, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	switch {
	case to.Scheme == "https":
		return nil, fmt.Errorf("%s: what goes by TLS the sidecar passes on unread, connection by connection; only http:// can be explained", address)
	case to.Scheme != "http" || to.Hostname() == "":
		return nil, fmt.Errorf("%s: want http://HOST/PATH", address)
	}
	return to, nil
}

// read reads the body.
func (s *settings) read(in io.Reader) (body []byte, err error) {
	name, file := strings.CutPrefix(s.data, "@")
	switch {
	case !file:
		return []byte(s.data), nil
	case name == "-":
		if body, err = io.ReadAll(in); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return body, nil
	}
	return os.ReadFile(name)
}
