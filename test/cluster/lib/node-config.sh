# shellcheck shell=bash
# The configuration files of the node's programs; sourced by node.sh.

write_config() {
	# An empty file, so that no resolver of this machine gets into pods.
	: >"$state/conf/resolv.conf"

	cat >"$state/cni/net.d/10-bridge.conflist" <<-E
		{"cniVersion": "0.4.0", "name": "cluster", "plugins": [
		 {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
		  "ipMasq": false, "forceAddress": true,
		  "ipam": {"type": "host-local", "dataDir": "$state/cni/ipam", "ranges": [[{"subnet": "$pod_cidr"}]],
		           "routes": [{"dst": "0.0.0.0/0"}]}},
		 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	E

	# restrict_oom_score_adj and the zeros below: lowering an OOM score needs
	# CAP_SYS_RESOURCE, which root in a container often lacks.
	cat >"$state/conf/containerd.toml" <<-E
		version = 2
		root = "$state/containerd"
		state = "/run/containerd"
		oom_score = 0
		disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
		  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
		[grpc]
		  address = "/run/containerd/containerd.sock"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$state/containerd-opt"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$registry/pause:1"
		  restrict_oom_score_adj = true
		  disable_apparmor = true
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "$CLUSTER_CNI"
		    conf_dir = "$state/cni/net.d"
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "$CLUSTER_SNAPSHOTTER"
		    default_runtime_name = "runc"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        SystemdCgroup = false
	E

	# No eviction by disk and no image collection: an image that was collected
	# could not be had again.
	cat >"$state/conf/kubelet.yaml" <<-E
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		cgroupDriver: cgroupfs
		failCgroupV1: false
		failSwapOn: false
		containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
		staticPodPath: ""
		volumePluginDir: /var/lib/kubelet/volumeplugins
		podLogsDir: /var/log/pods
		resolvConf: $state/conf/resolv.conf
		clusterDNS: ["$dns_ip"]
		clusterDomain: cluster.local
		tlsCertFile: $state/pki/kubelet-server.crt
		tlsPrivateKeyFile: $state/pki/kubelet-server.key
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true}
		  x509: {clientCAFile: $state/pki/ca.crt}
		authorization: {mode: Webhook}
		oomScoreAdj: 0
		imageGCHighThresholdPercent: 100
		imageGCLowThresholdPercent: 99
		evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
		registerNode: true
	E

	cat >"$state/conf/kube-proxy.yaml" <<-E
		apiVersion: kubeproxy.config.k8s.io/v1alpha1
		kind: KubeProxyConfiguration
		mode: $proxy_mode
		hostnameOverride: $node
		clusterCIDR: $pod_cidr
		clientConnection: {kubeconfig: $state/pki/kube-proxy.conf}
		oomScoreAdj: 0
		conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
		iptables: {minSyncPeriod: 100ms, syncPeriod: 30s}
		nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
	E
}
