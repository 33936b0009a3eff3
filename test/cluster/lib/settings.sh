# shellcheck shell=bash disable=SC2034 # read by those who source it
# Settings and small functions shared by the scripts here; sourced, not run.
# From outside: SLUICE_CLUSTER_SLOT, SLUICE_CLUSTER_PROXY_MODE, SLUICE_CACHE,
# SLUICE_NO_INSTALL and TMPDIR; the README says what each does.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repo=$(cd "$here/../.." && pwd)
# The system directories are not in everybody's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

die() { echo "cluster: $*" >&2; exit 1; }

# A slot is a cluster's place on this machine: every name and address that two
# clusters could fight over is made of its number.
slot=${SLUICE_CLUSTER_SLOT:-0}
case $slot in
[0-9] | 1[0-5]) ;;
*) die "SLUICE_CLUSTER_SLOT=$slot: want a number from 0 to 15" ;;
esac
proxy_mode=${SLUICE_CLUSTER_PROXY_MODE:-iptables}
case $proxy_mode in
iptables | nftables) ;;
*) die "SLUICE_CLUSTER_PROXY_MODE=$proxy_mode: want iptables or nftables" ;;
esac

state=$(realpath -m "${TMPDIR:-/tmp}/sluice-cluster-$slot") # keys, logs, database, containers
name=slcluster$slot                                         # of the cgroup and of this machine's end of the link
host_ip=10.213.$slot.1                                      # this machine, as the node and the pods see it
node_ip=10.213.$slot.2                                      # the node; its API server listens on port 6443
pod_cidr=10.244.$slot.0/24
service_cidr=10.$((96 + slot)).0.0/16
service_ip=10.$((96 + slot)).0.1  # of the Service default/kubernetes
dns_ip=10.$((96 + slot)).0.10     # of the Service kube-system/kube-dns
node=node1
registry=kcluster.local           # in front of every image's name; no such host exists

kubernetes_version=$(sed -n 's/^require k8s.io\/kubernetes //p' "$here/programs/kubernetes/go.mod")

cache=$(realpath -m "${SLUICE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/sluice}")
programs=$cache/kubernetes-$kubernetes_version # what "build" makes
bin=$programs/bin
# Images hold programs of this checkout, so each checkout has its own.
checkout=$cache/checkout-$(printf %s "$repo" | sha256sum | cut -c1-12)
images=$checkout/images

kubeconfig=$state/pki/admin.conf
export KUBECACHEDIR=$state/kubectl-cache # else kubectl writes to the home directory

kubectl() { "$bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

need_root() { [ "$(id -u)" = 0 ] || die "$1 needs root: it makes namespaces, links and cgroups (try: sudo -E $here/cluster $1)"; }

# lock FILE: one at a time; the lock goes with the process. The file may have
# been removed by its last holder, then the lock is on nothing and asked for again.
lock() {
	mkdir -p "$(dirname "$1")"
	while :; do
		exec 9>"$1"
		flock -w 900 9 || die "another run holds $1 for 15 minutes"
		[ "$(stat -c %i "$1" 2>/dev/null)" != "$(stat -Lc %i "/proc/$$/fd/9")" ] || return 0
	done
}

# start_time PID: in clock ticks since boot; fails when the process is gone.
start_time() {
	local s
	{ s=$(cat "/proc/$1/stat"); } 2>/dev/null || return 1
	s=${s##*) } # the name before may hold anything
	# shellcheck disable=SC2086 # to be split: 1 is the state, 20 the start
	set -- $s
	[ "$1" != Z ] && echo "${20}"
}

# init_pid: the cluster's first process as seen from outside, or failure. The
# start time guards against a number that was given to another process.
init_pid() {
	local pid start now
	read -r pid start 2>/dev/null <"$state/init" || return 1
	now=$(start_time "$pid") || return 1
	[ "$now" = "$start" ] && echo "$pid"
}

# inside COMMAND...: runs it in the node's namespaces, as on its own machine.
inside() {
	local pid
	pid=$(init_pid) || die "no cluster in $state (start it with: $here/cluster up)"
	PATH="$bin:$PATH" nsenter --target "$pid" --mount --pid --net --uts --ipc --cgroup -- "$@"
}
