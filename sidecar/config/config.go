// Package config holds the sidecar's settings: flags, each with an environment twin.
package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The names of the flags; Env answers their environment twins. Whoever starts a sidecar, as the webhook does, writes them.
const (
	ProxyPort       = "proxy-port"
	HealthPort      = "health-port"
	AdminPort       = "admin-port"
	Discovery       = "discovery"
	Manifests       = "manifests"
	Kubeconfig      = "kubeconfig"
	Unknown         = "unknown-destinations"
	LogLevel        = "log-level"
	Termination     = "termination"
	Pprof           = "pprof"
	Loops           = "loops"
	HeadLimit       = "max-head-bytes"
	MaxConnections  = "max-connections"
	MaxRequests     = "max-requests"
	MaxPending      = "max-pending"
	MaxStreams      = "max-streams"
	ConnectTimeout  = "connect-timeout"
	IdleTimeout     = "upstream-idle-timeout"
	ResolveTimeout  = "resolve-timeout"
	DrainIdle       = "drain-idle"
	TargetIdle      = "discovery-idle"
	NodeName        = "node-name"
	Zone            = "zone"
	EnvironmentHead = "SLUICE_"
)

// Env answers a flag's environment twin: proxy-port is SLUICE_PROXY_PORT.
func Env(flag string) string {
	return EnvironmentHead + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Settings are a sidecar's settings.
type Settings struct {
	ProxyPort, HealthPort, AdminPort uint16
	Discovery                        string // "kube" or "files"
	Manifests                        string // directory, for files
	Kubeconfig                       string // file, for kube outside a pod
	ParseUnknown                     bool
	LogLevel                         slog.Level
	Native                           bool // what SIGTERM means, see Termination
	Pprof                            bool
	Loops                            int
	HeadLimit                        int
	MaxConnections                   int // of applications; 0 leaves it to the descriptors there are
	MaxRequests                      int // of HTTP/1.x, and streams, under way in the process; 0 is without limit
	MaxPending                       int
	MaxStreams                       int // of one connection of the application
	ConnectTimeout, IdleTimeout      time.Duration
	ResolveTimeout                   time.Duration
	DrainIdle                        time.Duration
	TargetIdle                       time.Duration
	NodeName, Zone                   string // where the pod runs; "" is unknown
}

// DefaultMaxPending is a hundred Services' own max-pending. Of HTTP/1.x each that waits holds the buffer of its head.
const DefaultMaxPending = 10_000

// ErrHelp is answered when the arguments ask for help, which was then printed.
var ErrHelp = flag.ErrHelp

// Parse reads arguments, and for flags that are absent the environment; lookup is os.LookupEnv but for tests. Every error names the
// flag or the variable, the value, and what is allowed.
func Parse(args []string, lookup func(string) (string, bool), usage io.Writer) (*Settings, error) {
	s := &Settings{}
	fs := flag.NewFlagSet("sidecar", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	port := func(p *uint16, name string, def uint16, help string) {
		*p = def
		fs.Func(name, fmt.Sprintf("%s (`port` 1 to 65535; default %d)", help, def), func(v string) error {
			n, err := strconv.ParseUint(v, 10, 16)
			if err != nil || n == 0 {
				return errors.New("allowed is a port from 1 to 65535")
			}
			*p = uint16(n)
			return nil
		})
	}
	choice := func(name, def, help string, set map[string]func()) {
		set[def]()
		var words []string
		for w := range set {
			words = append(words, w)
		}
		slices.Sort(words)
		fs.Func(name, fmt.Sprintf("%s (`%s`; default %s)", help, strings.Join(words, "|"), def), func(v string) error {
			f := set[v]
			if f == nil {
				return fmt.Errorf("allowed are %s", strings.Join(words, ", "))
			}
			f()
			return nil
		})
	}
	duration := func(p *time.Duration, name string, def, least time.Duration, help string) {
		*p = def
		fs.Func(name, fmt.Sprintf("%s (a `duration` such as 3s or 500ms, at least %v; default %v)", help, least, def), func(v string) error {
			d, err := time.ParseDuration(v)
			if err != nil || d < least {
				return fmt.Errorf("allowed is a duration of at least %v, such as 3s or 500ms", least)
			}
			*p = d
			return nil
		})
	}
	integer := func(p *int, name string, def, least, most int, help string) {
		*p = def
		fs.Func(name, fmt.Sprintf("%s (a `number` from %d to %d; default %d)", help, least, most, def), func(v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < least || n > most {
				return fmt.Errorf("allowed is a whole number from %d to %d", least, most)
			}
			*p = n
			return nil
		})
	}
	port(&s.ProxyPort, ProxyPort, 15301, "where redirected connections arrive, on the loopback addresses")
	port(&s.HealthPort, HealthPort, 15302, "/livez, /readyz and /metrics, on all addresses")
	port(&s.AdminPort, AdminPort, 15303, "everything else of the admin interface, on 127.0.0.1")
	choice(Discovery, "kube", "where Services and their endpoints come from", map[string]func(){
		"kube": func() { s.Discovery = "kube" }, "files": func() { s.Discovery = "files" }})
	fs.StringVar(&s.Manifests, Manifests, "", "`directory` with manifests (Service, EndpointSlice), with --discovery=files")
	fs.StringVar(&s.Kubeconfig, Kubeconfig, "", "`file` to reach the API server with; empty is the pod's own service account")
	choice(Unknown, "passthrough", "destinations without a Service are sent on unread, or parsed like any other", map[string]func(){
		"passthrough": func() { s.ParseUnknown = false }, "proxy": func() { s.ParseUnknown = true }})
	s.LogLevel = slog.LevelInfo
	fs.Func(LogLevel, "the least `level` that is logged: debug, info, warn or error (default info)", func(v string) error {
		if s.LogLevel.UnmarshalText([]byte(v)) != nil {
			return errors.New("allowed are debug, info, warn, error")
		}
		return nil
	})
	choice(Termination, "native", "what SIGTERM means: native, the application has ended already; classic, it ends at the same time and may still call",
		map[string]func(){"native": func() { s.Native = true }, "classic": func() { s.Native = false }})
	fs.BoolFunc(Pprof, "serve /debug/pprof on the admin port", func(v string) (err error) {
		if s.Pprof, err = strconv.ParseBool(v); err != nil {
			return errors.New("allowed are true and false")
		}
		return nil
	})
	integer(&s.Loops, Loops, 0, 0, 64, "event loops; 0 is one for each CPU the container may use, two at most")
	integer(&s.HeadLimit, HeadLimit, 64<<10, 1<<10, 1<<20, "largest head of a message in bytes")
	integer(&s.MaxConnections, MaxConnections, 0, 0, 1_000_000, "connections of applications that are served at a time, further ones wait; 0 is as many as there are descriptors for")
	integer(&s.MaxRequests, MaxRequests, 0, 0, 1_000_000, "requests of HTTP/1.x and streams of HTTP/2 that may be under way at a time; further ones are answered 503; 0 is without limit")
	integer(&s.MaxPending, MaxPending, DefaultMaxPending, 1, 1_000_000, "requests that may wait at a time, for whatever it is; further ones are answered 503")
	integer(&s.MaxStreams, MaxStreams, 1000, 1, 100_000, "HTTP/2 streams that an application may have open at a time on one connection")
	duration(&s.ConnectTimeout, ConnectTimeout, time.Second, time.Millisecond, "how long one connect to an endpoint may take")
	duration(&s.IdleTimeout, IdleTimeout, 3*time.Second, 10*time.Millisecond, "how long an idle connection to an endpoint is kept")
	duration(&s.ResolveTimeout, ResolveTimeout, time.Second, time.Millisecond, "how long a connection waits for discovery before it passes through")
	duration(&s.DrainIdle, DrainIdle, 5*time.Second, 0, "with classic termination, how long there must be no connection before the sidecar ends")
	duration(&s.TargetIdle, TargetIdle, 10*time.Minute, time.Second, "how long a Service must be unused before its watches end")
	fs.StringVar(&s.NodeName, NodeName, "", "`name` of the node the pod runs on, for hints of EndpointSlices")
	fs.StringVar(&s.Zone, Zone, "", "`name` of the zone the pod runs in, for the same; empty reads it off an endpoint on the same node")
	fs.Usage = func() {}
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		printHelp(fs, usage)
		return nil, ErrHelp
	}
	if err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: all settings are flags, see --help", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	fs.VisitAll(func(f *flag.Flag) {
		if v, ok := lookup(Env(f.Name)); ok && !given[f.Name] && err == nil {
			if serr := f.Value.Set(v); serr != nil {
				err = fmt.Errorf("invalid value %q for environment variable %s: %w", v, Env(f.Name), serr)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

func (s *Settings) check() error {
	if s.Discovery == "files" {
		fi, err := os.Stat(s.Manifests)
		switch {
		case s.Manifests == "":
			return fmt.Errorf("--%s=files needs --%s=DIR", Discovery, Manifests)
		case err != nil:
			return fmt.Errorf("--%s=%s: %w", Manifests, s.Manifests, err)
		case !fi.IsDir():
			return fmt.Errorf("--%s=%s is not a directory", Manifests, s.Manifests)
		}
	} else if s.Manifests != "" {
		return fmt.Errorf("--%s is for --%s=files only", Manifests, Discovery)
	}
	if s.ProxyPort == s.HealthPort || s.ProxyPort == s.AdminPort || s.HealthPort == s.AdminPort {
		return fmt.Errorf("--%s=%d, --%s=%d and --%s=%d must differ", ProxyPort, s.ProxyPort, HealthPort, s.HealthPort, AdminPort, s.AdminPort)
	}
	return nil
}

func printHelp(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintln(w, "sidecar balances a pod's calls to Services. Each flag has an environment twin: --proxy-port is SLUICE_PROXY_PORT.")
	fs.VisitAll(func(f *flag.Flag) {
		word, help := flag.UnquoteUsage(f)
		if word != "" {
			word = "=" + strings.ToUpper(word)
			if strings.Contains(word, "|") {
				word = strings.ToLower(word)
			}
		}
		fmt.Fprintf(w, "  --%s%s\n        %s\n", f.Name, word, help)
	})
}
