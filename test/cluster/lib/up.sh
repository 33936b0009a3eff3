#!/usr/bin/env bash
# cluster up: starts a one-node cluster and waits until it is usable. Nothing
# happens when it already runs; what a dead one left behind is cleared away.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$here/lib/packages.sh"
. "$here/lib/cgroups.sh"
need_root up
need_node
"$here/lib/build.sh"
"$here/lib/image.sh" pause coredns box
lock "$state.lock"

t0=${EPOCHREALTIME/./}
note() { awk -v us=$((${EPOCHREALTIME/./} - t0)) -v what="$1" 'BEGIN{printf "%6.1f s  %s\n", us/1e6, what}'; }

# wait_for SECONDS WHAT COMMAND...
wait_for() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until ("$@") >/dev/null 2>&1; do
		if [ $SECONDS -ge $end ]; then
			tail -n 5 "$state"/log/*.log >&2
			die "$what: not in time; logs are in $state/log, take the rest away with: $here/cluster down"
		fi
		sleep 0.2
	done
	note "$what"
}
ready() { [ "$(kubectl get --raw /readyz --request-timeout 5s)" = ok ]; }

if init_pid >/dev/null; then
	rm -f "$state"/stopped/*
	for _ in $(seq 40); do
		if ready 2>/dev/null; then
			echo "already up; export KUBECONFIG=$kubeconfig"
			exit 0
		fi
		sleep 0.5
	done
	echo "a cluster is there but does not answer: starting over"
fi
CLUSTER_LOCKED=1 "$here/lib/down.sh" >/dev/null

# Nobody else's link or route may be where ours go.
! ip link show "$name" >/dev/null 2>&1 || die "a link $name is there that this cluster did not make"
for net in "$host_ip/30" "$pod_cidr" "$service_cidr"; do
	taken=$( { ip -4 route show root "$net"; ip -4 route show match "$net"; } | sed '/^default/d; q')
	[ -z "$taken" ] || die "$net is taken on this machine ($taken): set another SLUICE_CLUSTER_SLOT (0 to 15)"
done

umask 022
mkdir -p "$state"
: >"$state/.sluice-cluster"
mkdir -p "$state"/{pki,conf,log,pids,stopped,loaded,etcd,containerd,kubelet,cni/net.d,cni/lib,varlog}
"$bin/pki" -dir "$state/pki" -node "$node" -node-ip "$node_ip" -service-ip "$service_ip"
# Mount points that are fixed in the programs; "down" removes what is made here.
for d in /var/lib/kubelet /var/lib/cni; do
	[ -d "$d" ] || { mkdir -p "$d"; echo "$d" >>"$state/made"; }
done
make_cgroups
# overlayfs cannot lie on another overlayfs, as in most containers.
snapshotter=overlayfs
case $(stat -f -c %T "$state") in overlay*) snapshotter=native ;; esac
export CLUSTER_CGROUPS=$cgroup_mounts CLUSTER_SNAPSHOTTER=$snapshotter CLUSTER_CNI CLUSTER_STATE=$state
CLUSTER_CNI=$(cni_dir)
(
	while read -r d; do echo "$BASHPID" >"$d/cgroup.procs"; done <"$state/cgroups"
	exec 9>&-
	# Nothing of the caller's environment goes into the node: proxy variables
	# would break webhook calls, credentials are nobody's business there.
	for v in $(compgen -e); do
		case $v in CLUSTER_* | SLUICE_* | TMPDIR | XDG_CACHE_HOME | PATH | HOME) ;; *) unset "$v" ;; esac
	done
	# The cgroup namespace is rooted where the process is now; only then it may
	# go on to the group below, see make_cgroup2.
	# shellcheck disable=SC2016 # for the inner shell
	exec setsid unshare --cgroup bash -c '
		[ -z "$1" ] || echo $$ >"$1/cgroup.procs"
		exec unshare --mount --propagation private --pid --fork --net --uts --ipc bash "$2"
	' up "$cgroup_leaf" "$here/lib/node.sh" </dev/null >"$state/log/node.log" 2>&1
) &

wait_for 60 "namespaces" init_pid
pid=$(init_pid)
: >"$state/link"
ip link add "$name" type veth peer name eth0 netns "$pid"
ip addr add "$host_ip/30" dev "$name"
ip link set "$name" up
# Pods and Services can be reached from this machine by their addresses.
ip route add "$pod_cidr" via "$node_ip" dev "$name" onlink
ip route add "$service_cidr" via "$node_ip" dev "$name" onlink

wait_for 60 "container runtime" inside ctr version
load=(pause coredns box)
[ ! -e "$images/sluice.tar" ] || load+=(sluice)
"$here/lib/load.sh" "${load[@]}" >"$state/log/images.log" 2>&1 || { cat "$state/log/images.log" >&2; die "images: not loaded"; }
note "images loaded"
touch "$state/images-loaded"
wait_for 300 "API server ready" ready
sed "s|@DNS_IP@|$dns_ip|; s|@REGISTRY@|$registry|" "$here/coredns.yaml" >"$state/conf/coredns.yaml"
wait_for 60 "DNS applied" kubectl apply -f "$state/conf/coredns.yaml"
wait_for 300 "node ready" kubectl wait --for=condition=Ready "node/$node" --timeout=1s
wait_for 60 "default service account" kubectl -n default get serviceaccount default
wait_for 300 "DNS ready" kubectl -n kube-system rollout status deployment/coredns --timeout=2s
echo "export KUBECONFIG=$kubeconfig"
