// Package initcontainer is the init container's program: it makes TCP connections to Service addresses arrive at the
// proxy, by nat rules in the pod's network namespace, with filter rules for packets that would miss it, and ends. config
// says what is asked for, ruleset which rules that means, apply brings them into the kernel; this package puts the three
// together.
//
// Run again, also after having been killed, it changes nothing that is right already. It needs root with CAP_NET_ADMIN
// and nothing else (CAP_NET_RAW too for --iptables-mode=legacy); the root file system may be read-only.
package initcontainer
