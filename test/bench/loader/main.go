// Command loader is what the benchmark's clients run, and the server of opaque bytes. It lives in a process of its own so
// that its work is nobody else's. Each command prints "begin" when what is to be measured begins, and one JSON object at
// its end.
//
//	loader rate --target=10.96.0.10:80 --connections=64 --rate=5000   requests at given times, whatever the answers do
//	loader rate --target=10.96.0.10:80 --rate=0 --header=account-id   requests at full speed, each with another key
//	loader turns --targets=10.96.0.10:80,10.96.0.11:80 --rate=0       requests to these as standard input says; see turns.go
//	loader hold --target=10.96.0.10:80 --connections=4000             idle connections, until standard input ends
//	loader fetch --target=10.96.0.10:80 --path=/blob --count=8        large bodies, one after the other
//	loader pull --target=10.96.0.20:9000 --bytes=1073741824           opaque bytes
//	loader give --listen=0.0.0.0:9000                                 the other end of pull
//	loader halves --target=10.96.0.10:80 --connections=500            heads that never end
//	loader sip --target=10.96.0.10:80 --connections=500 --path=/blob  large bodies, read slowly
//	loader echo --target=10.96.0.30:80 --bytes=1073741824 [--opaque]  random bytes there and back at once, compared
//	loader mirror --listen=0.0.0.0:8090 --listen2=0.0.0.0:9001        the other end of echo, as HTTP/1.1 and opaque
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// patience bounds every wait for the other side, so that a proxy that hangs is an error and not a hang.
const patience = 10 * time.Second

// options are the flags of all commands.
type options struct {
	target      netip.AddrPort
	targets     []netip.AddrPort
	listen      string
	listen2     string
	opaque      bool
	path        string
	connections int
	rate        float64 // requests a second
	duration    time.Duration
	warmup      time.Duration // comes before duration and is not measured
	seed        uint64
	count       int
	bytes       int64
	header      string
	body        int
}

func main() {
	commands := map[string]func(options) (any, error){"rate": rate, "turns": turns, "hold": hold, "fetch": fetch, "pull": pull, "give": give,
		"halves": halves, "sip": sip, "mirror": mirror, "echo": echo}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: loader rate|turns|hold|fetch|pull|give|halves|sip|mirror|echo [flags]")
		os.Exit(2)
	}
	var o options
	f := flag.NewFlagSet("loader "+os.Args[1], flag.ExitOnError)
	f.Func("target", "address and port of the server", func(s string) (err error) {
		o.target, err = netip.ParseAddrPort(s)
		return err
	})
	f.Func("targets", "several of these, with commas, for turns", func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			target, err := netip.ParseAddrPort(one)
			if err != nil {
				return err
			}
			o.targets = append(o.targets, target)
		}
		return nil
	})
	f.StringVar(&o.listen, "listen", "", "address and port to listen on")
	f.StringVar(&o.listen2, "listen2", "", "a second one, for opaque bytes")
	f.BoolVar(&o.opaque, "opaque", false, "bytes that nobody parses, instead of an HTTP/1.1 body")
	f.StringVar(&o.path, "path", "/", "what is requested")
	f.IntVar(&o.connections, "connections", 50, "client connections")
	f.Float64Var(&o.rate, "rate", 1000, "requests a second on all connections together; 0 is as many as are answered")
	f.StringVar(&o.header, "header", "", "a header field whose value differs from request to request")
	f.IntVar(&o.body, "body", 0, "bytes of JSON to send, in which /account/id differs from request to request")
	f.DurationVar(&o.duration, "duration", 5*time.Second, "how long to measure")
	f.DurationVar(&o.warmup, "warmup", time.Second, "how long to send before that")
	f.Uint64Var(&o.seed, "seed", 1, "of the arrival times: equal seeds, equal times")
	f.IntVar(&o.count, "count", 1, "how many bodies")
	f.Int64Var(&o.bytes, "bytes", 1<<30, "how many bytes")
	_ = f.Parse(os.Args[2:]) // ExitOnError
	result, err := commands[os.Args[1]](o)
	if err != nil {
		fmt.Fprintf(os.Stderr, "loader %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "loader:", err)
		os.Exit(1)
	}
}

// begin tells whoever started the loader that the measured part begins.
func begin() { fmt.Println("begin") }
