package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	initconfig "github.com/sluice-mesh/sluice/initcontainer/config"
)

// Options are the webhook process's own configuration.
type Options struct {
	// Inject is what pods get unless annotations say otherwise. An empty Image stands for the webhook's own.
	Inject Settings

	// ServiceCIDRs are used where the API server has no ServiceCIDR objects.
	ServiceCIDRs []netip.Prefix
	// PodSecurity refuses pods where Pod Security would refuse them, with a better message.
	PodSecurity bool

	PodName       string // of the webhook; to find its own image
	Namespace     string // of the webhook, its Service, Secret and Lease
	Service       string
	Secret        string
	Configuration string // name of both webhook configurations

	TLSPort        int // TLS
	HealthAddress  string
	MetricsAddress string

	CALifetime   time.Duration
	LeafLifetime time.Duration
	// CertSettle is how long a new CA has to be in the webhook configurations before certificates of it are served: every
	// API server must have seen it.
	CertSettle time.Duration
	// ShutdownDelay is how long to serve on after SIGTERM: until no API server sends new connections here.
	ShutdownDelay time.Duration
	// ReportInterval is the time between two looks for pods without a sidecar; 0 is never.
	ReportInterval time.Duration

	LogLevel slog.Level
}

// ParseOptions reads the command line; for a flag that is not on it, its environment twin (--some-name and
// SLUICE_SOME_NAME) counts. Usage goes to out, for flag.ErrHelp and for errors. Errors name the flag or variable, the
// value and what is allowed.
func ParseOptions(args []string, lookupEnv func(string) (string, bool), out io.Writer) (Options, error) {
	o := Options{Inject: Defaults()}
	flags := flag.NewFlagSet("webhook", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() { usage(flags) }
	for _, k := range settings {
		flags.Var(&settingFlag{k, &o.Inject}, "inject-"+k.name, k.help)
	}
	flags.Var(&cidrsFlag{&o.ServiceCIDRs}, "service-cidrs",
		"the cluster's Service `CIDRs`, where the API server has no ServiceCIDR objects (before Kubernetes 1.33)")
	flags.BoolVar(&o.PodSecurity, "pod-security-check", true,
		"refuse pods in namespaces whose label pod-security.kubernetes.io/enforce does not allow the init container")
	flags.StringVar(&o.PodName, "pod-name", "", "`name` of the webhook's own pod, whose image is injected by default")
	flags.StringVar(&o.Namespace, "pod-namespace", "sluice-system", "`namespace` of the webhook")
	flags.StringVar(&o.Service, "service", "sluice-webhook", "`name` of the webhook's Service")
	flags.StringVar(&o.Secret, "secret", "sluice-webhook-certs", "`name` of the Secret of its certificates")
	flags.StringVar(&o.Configuration, "configuration", "sluice-webhook",
		"`name` of the MutatingWebhookConfiguration and the ValidatingWebhookConfiguration")
	flags.IntVar(&o.TLSPort, "tls-port", 9443, "`port` of the webhook, TLS")
	flags.StringVar(&o.HealthAddress, "health-address", ":9081", "`address` of /livez and /readyz")
	flags.StringVar(&o.MetricsAddress, "metrics-address", ":9080", "`address` of /metrics")
	flags.DurationVar(&o.CALifetime, "ca-lifetime", 365*24*time.Hour,
		"`time` a certificate authority is valid; replaced when 2/3 of it are over")
	flags.DurationVar(&o.LeafLifetime, "certificate-lifetime", 30*24*time.Hour,
		"`time` a serving certificate is valid; replaced when 2/3 of it are over")
	flags.DurationVar(&o.CertSettle, "certificate-settle", 30*time.Second,
		"`time` a new certificate authority is trusted before certificates of it are served")
	flags.DurationVar(&o.ShutdownDelay, "shutdown-delay", 8*time.Second, "`time` to serve on after SIGTERM")
	flags.DurationVar(&o.ReportInterval, "report-interval", 5*time.Minute,
		"`time` between two looks for pods that lack the sidecar; 0: never")
	flags.TextVar(&o.LogLevel, "log-level", slog.LevelInfo, "the webhook's own log `level`: debug, info, warn, error")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; there are flags only, see --help", flags.Arg(0))
	}
	if err := fromEnvironment(flags, lookupEnv); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o *Options) check() error {
	var errs []error
	for _, d := range []struct {
		name     string
		value    time.Duration
		atLeast  time.Duration
		optional bool
	}{
		{"ca-lifetime", o.CALifetime, 2 * o.LeafLifetime, false},
		{"certificate-lifetime", o.LeafLifetime, max(time.Minute, 6*o.CertSettle), false},
		{"certificate-settle", o.CertSettle, 0, false},
		{"shutdown-delay", o.ShutdownDelay, 0, false},
		{"report-interval", o.ReportInterval, 10 * time.Second, true},
	} {
		if d.value < d.atLeast && !(d.optional && d.value == 0) {
			errs = append(errs, fmt.Errorf("--%s is %v; allowed is %v or more", d.name, d.value, d.atLeast))
		}
	}
	if o.TLSPort < 1 || o.TLSPort > 65535 {
		errs = append(errs, fmt.Errorf("--tls-port is %d; allowed is 1 to 65535", o.TLSPort))
	}
	if err := o.Inject.Check(); err != nil {
		errs = append(errs, fmt.Errorf("flags --inject-…: %w", err))
	}
	return errors.Join(errs...)
}

// EnvName answers a flag's environment twin.
func EnvName(flagName string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func fromEnvironment(flags *flag.FlagSet, lookupEnv func(string) (string, bool)) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var errs []error
	flags.VisitAll(func(f *flag.Flag) {
		value, ok := lookupEnv(EnvName(f.Name))
		if !ok || given[f.Name] {
			return
		}
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, fmt.Errorf("environment %s=%q: %w", EnvName(f.Name), value, err))
		}
	})
	return errors.Join(errs...)
}

func usage(flags *flag.FlagSet) {
	out := flags.Output()
	fmt.Fprintln(out, "webhook injects Sluice's sidecar into pods of opted-in namespaces and keeps what that needs:\n"+
		"its certificates and the read access of those namespaces. Flags, their environment twins and defaults:")
	flags.VisitAll(func(f *flag.Flag) {
		_, what := flag.UnquoteUsage(f)
		fmt.Fprintf(out, "\n  --%s=%s\n      %s\n      %s\n", f.Name, f.DefValue, EnvName(f.Name), what)
	})
}

// settingFlag is the flag of one setting of injected pods.
type settingFlag struct {
	setting
	of *Settings
}

func (f *settingFlag) String() string {
	if f.of == nil { // package flag asks the zero value
		return ""
	}
	return f.get(f.of)
}

func (f *settingFlag) Set(value string) error {
	return f.set(f.of, value)
}

type cidrsFlag struct{ list *[]netip.Prefix }

func (f *cidrsFlag) String() string {
	if f.list == nil {
		return ""
	}
	return join(*f.list)
}

func (f *cidrsFlag) Set(value string) error {
	list, err := initconfig.ParsePrefixes(value)
	if err == nil {
		*f.list = list
	}
	return err
}
