#!/usr/bin/env bash
# cluster load NAME|FILE...: gives image archives to the running node; NAME is
# an image that "cluster image" made.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
[ $# -gt 0 ] || die "load: want the names or archives of images"
need_root load
init_pid >/dev/null || die "load: no cluster in $state (start it with: $here/cluster up)"
snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' "$state/conf/containerd.toml")
# known IMAGE: waits until the runtime's side that the kubelet asks has noticed it,
# which it marks with a label: a pod that comes sooner has its image pulled.
known() {
	for _ in $(seq 100); do
		[ -z "$(inside ctr -n k8s.io images ls -q "name==$1,labels.\"io.cri-containerd.image\"==managed")" ] || return 0
		sleep 0.1
	done
	die "load: $1 is in the node, but its runtime does not notice"
}

for what in "$@"; do
	archive=$what
	[ -f "$archive" ] || archive=$images/$what.tar
	[ -f "$archive" ] || die "load $what: neither a file nor an image made by: $here/cluster image"
	# The archive comes through standard input: TMPDIR and mounts may differ inside.
	inside ctr -n k8s.io images import --snapshotter "$snapshotter" - <"$archive" | tee "$state/loaded/.last"
	sed -n 's/^unpacking \([^ ]*\) .*/\1/p' "$state/loaded/.last" | while read -r image; do known "$image"; done
	# so that "image" knows what the node has
	case $archive in "$images"/*) cp "${archive%.tar}.sum" "$state/loaded/$(basename "$archive" .tar)" ;; esac
done
