package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// setting is one row: how a field is written, read and explained. Flags, environment, help and Args all come from it.
type setting struct {
	flag    string
	allowed string // shown in the help between flag and text
	help    string
	isBool  bool
	get     func(*Config) string
	set     func(*Config, string) error
}

// into adapts a value parser to a field.
func into[T any](field func(*Config) *T, parse func(string) (T, error)) func(*Config, string) error {
	return func(c *Config, s string) error {
		v, err := parse(s)
		if err == nil {
			*field(c) = v
		}
		return err
	}
}

func boolSetting(flag, help string, field func(*Config) *bool) setting {
	return setting{flag: flag, allowed: "true|false", help: help, isBool: true, set: into(field, ParseBool),
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) }}
}

var settings = []setting{
	{flag: FlagRedirectCIDRs, allowed: "ADDRESS/BITS,…",
		help: "the cluster's Service ranges, IPv4 and IPv6; TCP to them goes to the proxy. Needed, except with --remove",
		get:  func(c *Config) string { return join(c.RedirectCIDRs) },
		set:  into(func(c *Config) *[]netip.Prefix { return &c.RedirectCIDRs }, ParsePrefixes)},
	{flag: FlagProxyPort, allowed: "1…65535", help: "TCP port of the proxy on 127.0.0.1 and ::1",
		get: func(c *Config) string { return strconv.Itoa(int(c.ProxyPort)) },
		set: into(func(c *Config) *uint16 { return &c.ProxyPort }, ParsePort)},
	{flag: FlagProxyUID, allowed: "1…4294967294", help: "user id of the proxy, whose packets are never redirected",
		get: func(c *Config) string { return strconv.FormatUint(uint64(c.ProxyUID), 10) },
		set: into(func(c *Config) *uint32 { return &c.ProxyUID }, ParseProxyUID)},
	{flag: FlagExcludePorts, allowed: "PORT,FROM-TO,…", help: "destination TCP ports to leave alone",
		get: func(c *Config) string { return join(c.ExcludePorts) },
		set: into(func(c *Config) *[]Ports { return &c.ExcludePorts }, ParsePorts)},
	{flag: FlagExcludeCIDRs, allowed: "ADDRESS/BITS,…", help: "destination addresses to leave alone",
		get: func(c *Config) string { return join(c.ExcludeCIDRs) },
		set: into(func(c *Config) *[]netip.Prefix { return &c.ExcludeCIDRs }, ParsePrefixes)},
	{flag: FlagExcludeUIDs, allowed: "UID,FROM-TO,…", help: "user ids whose packets to leave alone",
		get: func(c *Config) string { return join(c.ExcludeUIDs) },
		set: into(func(c *Config) *[]UIDs { return &c.ExcludeUIDs }, ParseUIDs)},
	boolSetting(FlagExcludeDNS, "leave TCP port 53 alone", func(c *Config) *bool { return &c.ExcludeDNS }),
	boolSetting(FlagExcludeAPIServer, "leave the API server's ClusterIP (KUBERNETES_SERVICE_HOST) alone",
		func(c *Config) *bool { return &c.ExcludeAPIServer }),
	{flag: FlagIptablesMode, allowed: "auto|nft|legacy",
		help: "auto takes what the network namespace uses already, else nft, else legacy (which needs CAP_NET_RAW too)",
		get:  func(c *Config) string { return string(c.IptablesMode) },
		set:  into(func(c *Config) *Mode { return &c.IptablesMode }, ParseMode)},
	{flag: FlagIPv6, allowed: "auto|off|on",
		help: "auto skips IPv6 ranges when IPv6 rules cannot be made and the pod has no IPv6 address; on fails then",
		get:  func(c *Config) string { return string(c.IPv6) },
		set:  into(func(c *Config) *IPv6 { return &c.IPv6 }, ParseIPv6)},
	boolSetting(FlagDryRun, "print the rules as iptables-restore text and change nothing",
		func(c *Config) *bool { return &c.DryRun }),
	boolSetting(FlagRemove, "remove all rules and chains made by earlier runs",
		func(c *Config) *bool { return &c.Remove }),
}

// Parse reads the settings from flags (without the program's name) and from the environment ("NAME=value"). A flag wins
// over its environment twin, which is then not even looked at; an empty variable counts as absent. flag.ErrHelp is
// returned when help was asked for.
//
// Kubernetes puts variables into pods by itself: a Service named "sluice-proxy" makes SLUICE_PROXY_PORT a URL. Whoever
// writes a container therefore writes flags (see Args).
func Parse(args, environ []string) (Config, error) {
	c := Default()
	given := make(map[string]bool)
	var wrong error // ours reads better than what package flag makes of it
	fs := flag.NewFlagSet("initcontainer", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, s := range settings {
		read := func(v string) error {
			given[s.flag] = true
			if err := s.set(&c, v); err != nil {
				wrong = fmt.Errorf("--%s: %w", s.flag, err)
				return wrong
			}
			return nil
		}
		if s.isBool {
			fs.BoolFunc(s.flag, "", read)
		} else {
			fs.Func(s.flag, "", read)
		}
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return c, err
	case wrong != nil:
		return c, wrong
	case err != nil:
		return c, fmt.Errorf("%w; --help lists the flags", err)
	case fs.NArg() > 0:
		return c, fmt.Errorf("%q: no arguments are allowed besides flags; --help lists them", fs.Arg(0))
	}
	env := make(map[string]string)
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && v != "" {
			env[k] = v
		}
	}
	for _, s := range settings {
		name := EnvName(s.flag)
		if v, ok := env[name]; ok && !given[s.flag] {
			if err := s.set(&c, v); err != nil {
				return c, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if a, err := netip.ParseAddr(env[envAPIServer]); err == nil {
		c.APIServer = a.Unmap().WithZone("")
	}
	return c, c.Check()
}

// Args writes the settings as flags, all of them, so that nothing depends on the environment or on the defaults of the
// version that reads them. Parse of the result gives c again, but for APIServer.
func (c Config) Args() []string {
	var args []string
	for _, s := range settings {
		args = append(args, fmt.Sprintf("--%s=%s", s.flag, s.get(&c)))
	}
	return args
}

// Usage is the text of --help.
func Usage() string {
	var b strings.Builder
	b.WriteString("Usage: initcontainer --redirect-cidrs=10.96.0.0/16 [flags]\n\n" +
		"Makes TCP connections to Service addresses arrive at the Sluice proxy, by nat rules in the network namespace\n" +
		"it is started in. Running it again changes nothing. Exit status: 0 done, 1 failed, 2 wrong settings.\n\n")
	def := Default()
	for _, s := range settings {
		value := s.get(&def)
		if value == "" {
			value = "none"
		}
		fmt.Fprintf(&b, "  --%s=%s\n        %s.\n        Default: %s. Environment: %s\n",
			s.flag, s.allowed, s.help, value, EnvName(s.flag))
	}
	return b.String()
}
