#!/usr/bin/env bash
# cluster load NAME|FILE...: gives image archives to the running node; NAME is
# an image that "cluster image" made.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
[ $# -gt 0 ] || die "load: want the names or archives of images"
need_root load
init_pid >/dev/null || die "load: no cluster in $state (start it with: $here/cluster up)"
snapshotter=$(sed -n 's/^ *snapshotter = "\(.*\)"/\1/p' "$state/conf/containerd.toml")
for what in "$@"; do
	archive=$what
	[ -f "$archive" ] || archive=$images/$what.tar
	[ -f "$archive" ] || die "load $what: neither a file nor an image made by: $here/cluster image"
	# The archive comes through standard input: TMPDIR and mounts may differ inside.
	inside ctr -n k8s.io images import --snapshotter "$snapshotter" - <"$archive"
	# so that "image" knows what the node has
	case $archive in "$images"/*) cp "${archive%.tar}.sum" "$state/loaded/$(basename "$archive" .tar)" ;; esac
done
