// Package apply brings a rule set into the kernel, through iptables, and takes it out again. It may be run at any time,
// any number of times, also after a run that was killed half-way: it compares what is there with what is wanted, does
// nothing when both agree, and otherwise
//
//	builds the new rules in the chain name that is not in use (SLUICE_OUTPUT_A or SLUICE_OUTPUT_B),
//	reads them back,
//	appends the jump to them to OUTPUT,
//	removes the old jump, then the old chain,
//	reads everything back.
//
// It does so for each chain of ruleset: first for the redirect, then for what drops invalid packets (SLUICE_INVALID_A or
// SLUICE_INVALID_B in the filter table, in the same implementation). The second is not essential: a kernel that cannot have
// it is logged and gone on with.
//
// So at every moment each packet meets a complete chain: there is no hole in which it would pass by, and a packet is
// redirected at most once, because REDIRECT ends the walk. Between the two jump commands old and new rules are both in
// force, the old ones first.
//
// The kernel has two iptables implementations, nf_tables and legacy, which do not see each other's rules. The one that
// is in use in the network namespace is taken, else nf_tables (see choose); what is found of ours in the other one is
// removed after the new rules are in force. Reading legacy tables would create them, so that is done only where
// /proc/net says that they exist.
//
// What it needs, by experiment with iptables 1.8.9: CAP_NET_ADMIN for nf_tables; CAP_NET_ADMIN, CAP_NET_RAW and a lock
// file for legacy. The root file system may be read-only.
//
// This is the only package that imports go-iptables. Nothing in it is safe for concurrent use.
package apply
