#!/usr/bin/env bash
# cluster down: ends the cluster and removes all it left: processes, mounts,
# links, packet rules, cgroups and the state directory. Safe at any time.
# SLUICE_CLUSTER_KEEP=1 keeps the state directory with the logs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_root down
# "up" calls this while it holds the lock.
[ -n "${CLUSTER_LOCKED:-}" ] || lock "$state.lock"

done_with_lock() { [ -n "${CLUSTER_LOCKED:-}" ] || rm -f "$state.lock"; }
if [ ! -e "$state/.sluice-cluster" ]; then
	done_with_lock
	echo "no cluster in $state"
	exit 0
fi

if pid=$(init_pid); then
	# The first process of a pid namespace takes all others with it.
	kill -KILL "$pid"
	for _ in $(seq 300); do
		init_pid >/dev/null || break
		sleep 0.1
	done
	! init_pid >/dev/null || die "process $pid does not end"
fi
rm -f "$state/init"
# The link went with the node's end of it, or its network namespace is still
# being taken apart by the kernel.
if [ -e "$state/link" ]; then
	for _ in $(seq 50); do
		ip link show "$name" >/dev/null 2>&1 || break
		ip link del "$name" 2>/dev/null || true
		sleep 0.1
	done
fi

# A cgroup can be removed once its last process has been reaped.
left=
if [ -e "$state/cgroups" ]; then
	while read -r d; do
		for _ in $(seq 100); do
			[ -d "$d" ] || break
			find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || true
			[ ! -d "$d" ] || sleep 0.1
		done
		[ ! -d "$d" ] || left="$left $d"
	done <"$state/cgroups"
fi
if [ -e "$state/made" ]; then
	while read -r d; do rmdir "$d" 2>/dev/null || true; done < <(tac "$state/made")
fi
! grep -qF " $state/" /proc/self/mountinfo || die "something is still mounted below $state"
[ -z "$left" ] || die "cgroups that could not be removed:$left"
if [ -z "${SLUICE_CLUSTER_KEEP:-}" ]; then
	rm -rf "$state"
else
	rm -f "$state/cgroups" "$state/made" "$state/link"
fi
done_with_lock
echo "down"
