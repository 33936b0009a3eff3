#!/usr/bin/env bash
# The node's first process; up.sh starts it in its own mount, pid, network,
# cgroup, UTS and IPC namespaces. When it ends, the kernel ends everything
# else in there and drops every mount, link and packet rule with it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$here/lib/node-config.sh"
# The state directory up.sh chose, whatever TMPDIR is by now.
state=$CLUSTER_STATE
export PATH="$bin:$CLUSTER_CNI:$PATH"

# /proc is still the outer one: our number and start time as seen from there.
read -r outer _ </proc/self/stat
echo "$outer $(start_time "$outer")" >"$state/init.tmp"

mount -t proc proc /proc
mount -t sysfs sysfs /sys
if [ "$CLUSTER_CGROUPS" = v2 ]; then
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	# We are in the group "node" below; the pods' groups come beside it.
	for c in $(cat /sys/fs/cgroup/cgroup.controllers); do
		echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || echo "cgroup controller $c cannot be handed down"
	done
else
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	for c in $CLUSTER_CGROUPS; do
		d=/sys/fs/cgroup/${c#name=}
		mkdir -p "$d"
		case $c in
		name=*) mount -t cgroup -o "none,$c" cgroup "$d" ;;
		*) mount -t cgroup -o "$c" cgroup "$d" ;;
		esac
	done
fi
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/lock
mount --bind "$state/kubelet" /var/lib/kubelet
mount --bind "$state/cni/lib" /var/lib/cni
mount --bind "$state/varlog" /var/log
# The kubelet insists on these kernel-wide settings and would write them for
# the whole machine (a reboot after an oops among them). It finds them set.
for s in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
	kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
	f=$state/conf/sysctl-$(basename "${s%=*}")
	echo "${s#*=}" >"$f"
	[ ! -e "/proc/sys/${s%=*}" ] || mount --bind "$f" "/proc/sys/${s%=*}"
done
mount --make-rshared /
hostname "$node"
ip link set lo up
mv "$state/init.tmp" "$state/init"

until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add "$node_ip/30" dev eth0
ip link set eth0 up
ip route add default via "$host_ip"
echo 1 >/proc/sys/net/ipv4/ip_forward
modprobe br_netfilter 2>/dev/null || true
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables

write_config

# keep NAME COMMAND...: runs it, again one second after it ended; while the
# file stopped/NAME is there it stays ended ("cluster stop NAME").
keep() {
	local program=$1 rc
	shift
	(
		while :; do
			while [ -e "$state/stopped/$program" ]; do sleep 0.1; done
			echo "--- start $(date -u +%FT%TZ)" >>"$state/log/$program.log"
			rc=0
			"$@" >>"$state/log/$program.log" 2>&1 </dev/null &
			echo $! >"$state/pids/$program"
			wait $! || rc=$?
			echo "--- ended with $rc" >>"$state/log/$program.log"
			sleep 1
		done
	) &
}

P=$state/pki
api_answers() { kubectl get --raw /readyz --request-timeout 2s >/dev/null 2>&1; }

keep containerd containerd --config "$state/conf/containerd.toml"
keep etcd etcd --data-dir "$state/etcd" --name node1 \
	--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
	--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
	--initial-cluster node1=http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
keep kube-apiserver kube-apiserver \
	--advertise-address "$node_ip" --secure-port 6443 \
	--etcd-servers http://127.0.0.1:2379 \
	--service-cluster-ip-range "$service_cidr" --allow-privileged=true \
	--authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction \
	--client-ca-file "$P/ca.crt" --tls-cert-file "$P/apiserver.crt" --tls-private-key-file "$P/apiserver.key" \
	--kubelet-certificate-authority "$P/ca.crt" \
	--kubelet-client-certificate "$P/apiserver-kubelet-client.crt" --kubelet-client-key "$P/apiserver-kubelet-client.key" \
	--kubelet-preferred-address-types InternalIP \
	--service-account-issuer https://kubernetes.default.svc.cluster.local \
	--service-account-key-file "$P/sa.pub" --service-account-signing-key-file "$P/sa.key" \
	--requestheader-client-ca-file "$P/front-proxy-ca.crt" --requestheader-allowed-names front-proxy-client \
	--requestheader-extra-headers-prefix X-Remote-Extra- --requestheader-group-headers X-Remote-Group \
	--requestheader-username-headers X-Remote-User \
	--proxy-client-cert-file "$P/front-proxy-client.crt" --proxy-client-key-file "$P/front-proxy-client.key"
(
	until api_answers; do sleep 0.2; done
	# At the default of 20 a second the controller manager takes 5 s only to
	# make the clients of its service accounts. The grace period: with leader
	# election it would end while the API server is away and start to watch nodes
	# anew; without, it finds a node that was silent for a minute, and takes every
	# pod there out of its Services.
	keep kube-controller-manager kube-controller-manager \
		--kubeconfig "$P/controller-manager.conf" --authentication-kubeconfig "$P/controller-manager.conf" \
		--authorization-kubeconfig "$P/controller-manager.conf" --bind-address 127.0.0.1 \
		--leader-elect=false --node-monitor-grace-period 10m --kube-api-qps 300 --kube-api-burst 600 --use-service-account-credentials=true \
		--service-account-private-key-file "$P/sa.key" --root-ca-file "$P/ca.crt" \
		--cluster-signing-cert-file "$P/ca.crt" --cluster-signing-key-file "$P/ca.key" \
		--allocate-node-cidrs=true --cluster-cidr "$pod_cidr" --node-cidr-mask-size "${pod_cidr#*/}" \
		--service-cluster-ip-range "$service_cidr" --flex-volume-plugin-dir /var/lib/kubelet/volumeplugins
	keep kube-scheduler kube-scheduler --kubeconfig "$P/scheduler.conf" \
		--authentication-kubeconfig "$P/scheduler.conf" --authorization-kubeconfig "$P/scheduler.conf" \
		--bind-address 127.0.0.1 --leader-elect=false
	keep kube-proxy kube-proxy --config "$state/conf/kube-proxy.yaml"
	until [ -e "$state/images-loaded" ]; do sleep 0.1; done
	keep kubelet kubelet --config "$state/conf/kubelet.yaml" --kubeconfig "$P/kubelet.conf" \
		--root-dir /var/lib/kubelet --hostname-override "$node" --node-ip "$node_ip"
	wait
) &
set +e
# Children come and go (processes whose parent ended are handed to us too).
while :; do
	wait
	sleep 1
done
