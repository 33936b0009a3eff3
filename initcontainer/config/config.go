// Package config holds the init container's settings: what they are, how they are written as flags, as environment
// variables and in annotations, and which values are allowed. It decides nothing and touches nothing; the webhook
// imports it to write what the init container will read.
package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Flag names, without the leading dashes. The environment twin of each is EnvName of it.
const (
	FlagRedirectCIDRs    = "redirect-cidrs"
	FlagProxyPort        = "proxy-port"
	FlagProxyUID         = "proxy-uid"
	FlagExcludePorts     = "exclude-ports"
	FlagExcludeCIDRs     = "exclude-cidrs"
	FlagExcludeUIDs      = "exclude-uids"
	FlagExcludeDNS       = "exclude-dns"
	FlagExcludeAPIServer = "exclude-api-server"
	FlagIptablesMode     = "iptables-mode"
	FlagIPv6             = "ipv6"
	FlagDryRun           = "dry-run"
	FlagRemove           = "remove"
)

// envAPIServer is what kubelet tells every container: the address of the Service "kubernetes" in "default".
const envAPIServer = "KUBERNETES_SERVICE_HOST"

// Config is the init container's settings. The zero value is not usable; start from Default.
type Config struct {
	RedirectCIDRs []netip.Prefix // Service addresses, IPv4 and IPv6; TCP to them arrives at the proxy
	ProxyPort     uint16         // where the proxy listens, on 127.0.0.1 and ::1
	ProxyUID      uint32         // the proxy's user; its packets are never redirected

	ExcludePorts []Ports        // destination ports that are left alone
	ExcludeCIDRs []netip.Prefix // destination addresses that are left alone
	ExcludeUIDs  []UIDs         // users whose packets are left alone

	ExcludeDNS       bool       // leave TCP port 53 alone: nothing to balance, and names must resolve without the proxy
	ExcludeAPIServer bool       // leave the API server's ClusterIP alone: as long as APIServer is known
	APIServer        netip.Addr // from KUBERNETES_SERVICE_HOST; the zero Addr when that is absent or a name

	IptablesMode Mode
	IPv6         IPv6

	DryRun bool // print the rules, change nothing
	Remove bool // remove what earlier runs have made
}

// Mode is which of the kernel's two iptables implementations is used.
type Mode string

// ModeAuto takes the one that is in use in the network namespace, else nf_tables, else legacy.
const (
	ModeAuto   Mode = "auto"
	ModeNFT    Mode = "nft"    // iptables-nft; needs CAP_NET_ADMIN
	ModeLegacy Mode = "legacy" // iptables-legacy; needs CAP_NET_ADMIN and CAP_NET_RAW
)

// IPv6 is what is done about IPv6 ranges in RedirectCIDRs.
type IPv6 string

// IPv6Auto skips IPv6 when rules cannot be made and the pod has no IPv6 address either; IPv6On fails then.
const (
	IPv6Auto IPv6 = "auto"
	IPv6Off  IPv6 = "off"
	IPv6On   IPv6 = "on"
)

// Default is every setting's default. RedirectCIDRs has none.
func Default() Config {
	return Config{
		ProxyPort:        15301, // as the sidecar has it by default
		ProxyUID:         15301,
		ExcludeDNS:       true,
		ExcludeAPIServer: true,
		IptablesMode:     ModeAuto,
		IPv6:             IPv6Auto,
	}
}

// EnvName is the environment twin of a flag: "proxy-port" is SLUICE_PROXY_PORT.
func EnvName(flag string) string {
	return "SLUICE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Check reports settings that are right one by one and wrong together.
func (c Config) Check() error {
	if c.Remove {
		return nil
	}
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	has6 := slices.ContainsFunc(c.RedirectCIDRs, is6)
	has4 := slices.ContainsFunc(c.RedirectCIDRs, func(p netip.Prefix) bool { return p.Addr().Is4() })
	switch {
	case !has4 && !has6:
		return fmt.Errorf("--%s is needed (or %s): the cluster's Service ranges, such as 10.96.0.0/16",
			FlagRedirectCIDRs, EnvName(FlagRedirectCIDRs))
	case c.IPv6 == IPv6On && !has6:
		return fmt.Errorf("--%s=on needs an IPv6 range in --%s", FlagIPv6, FlagRedirectCIDRs)
	case c.IPv6 == IPv6Off && !has4:
		return fmt.Errorf("--%s=off leaves nothing to redirect: --%s has IPv6 ranges only", FlagIPv6, FlagRedirectCIDRs)
	}
	for _, p := range c.RedirectCIDRs {
		if p.Addr().IsLoopback() {
			return fmt.Errorf("--%s: %q is loopback, which is never redirected", FlagRedirectCIDRs, p)
		}
	}
	return nil
}
