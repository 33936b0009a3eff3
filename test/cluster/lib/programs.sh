#!/usr/bin/env bash
# cluster stop|start PROGRAM: keeps one of the node's programs ended, until told
# otherwise; cluster restart PROGRAM lets it come back at once. All by kill -9.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
verb=$1 program=${2:-}
need_root "$verb"
init_pid >/dev/null || die "$verb: no cluster in $state (start it with: $here/cluster up)"
known=$(cd "$state/pids" && echo *)
[ -n "$program" ] && [ -e "$state/pids/$program" ] || die "$verb '$program': want one of $known"

# end_now: the number may have been given away since, so the name must agree
# (the kernel keeps 15 letters of it).
end_now() {
	local pid
	pid=$(cat "$state/pids/$program")
	inside sh -c '[ "$(cat /proc/$1/comm 2>/dev/null)" = "$2" ] && kill -KILL "$1"' sh "$pid" "${program:0:15}"
}
case $verb in
stop)
	touch "$state/stopped/$program"
	end_now || echo "$program did not run"
	;;
start)
	rm -f "$state/stopped/$program"
	[ "$program" = kube-apiserver ] || exit 0
	for _ in $(seq 300); do
		[ "$(kubectl get --raw /readyz --request-timeout 2s 2>/dev/null)" != ok ] || exit 0
		sleep 0.2
	done
	die "start kube-apiserver: not ready in 60 s, see $state/log/kube-apiserver.log"
	;;
restart)
	rm -f "$state/stopped/$program"
	end_now || echo "$program did not run"
	;;
esac
