#!/usr/bin/env bash
# cluster kill NAMESPACE/POD [CONTAINER]: kill -9 of every process of a pod's
#   container, or of all its containers but the one that holds its namespaces
# cluster in-pod NAMESPACE/POD COMMAND...: runs a command of this machine (ip,
#   iptables-save, ss ...) in the pod's network namespace
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
verb=$1 target=${2:-} container=${3:-}
need_root "$verb"
init_pid >/dev/null || die "$verb: no cluster in $state (start it with: $here/cluster up)"
case $target in
?*/?*) ;;
*) die "$verb '$target': want NAMESPACE/POD" ;;
esac
shift 2
ctr() { inside ctr -n k8s.io "$@"; }
of_pod="labels.\"io.kubernetes.pod.namespace\"==${target%%/*},labels.\"io.kubernetes.pod.name\"==${target#*/}"

# running FILTER: "ID PID" of each running container that the filter finds.
running() {
	local ids
	ids=$(ctr containers ls -q "$of_pod,$1")
	[ -z "$ids" ] || ctr tasks ls | awk -v ids="$ids" 'BEGIN{n = split(ids, a, "\n"); for (i = 1; i <= n; i++) want[a[i]]}
		$3 == "RUNNING" && $1 in want {print $1, $2}'
}
case $verb in
kill)
	filter='labels."io.cri-containerd.kind"==container'
	[ -z "$container" ] || filter="$filter,labels.\"io.kubernetes.container.name\"==$container"
	found=$(running "$filter")
	[ -n "$found" ] || die "kill $target${container:+ $container}: no such container runs"
	while read -r id _; do ctr tasks kill --all --signal SIGKILL "$id" </dev/null; done <<<"$found"
	;;
in-pod)
	[ $# -gt 0 ] || die "in-pod $target: want a command"
	found=$(running 'labels."io.cri-containerd.kind"==sandbox')
	[ -n "$found" ] || die "in-pod $target: no such pod runs"
	# the numbers are those of the node's pid namespace
	inside nsenter --target "$(head -1 <<<"${found#* }")" --net -- "$@"
	;;
esac
