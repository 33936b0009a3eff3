#!/usr/bin/env bash
# cluster build [NAME...]: builds what is missing of the node's programs, from
# Go modules; works offline once the module cache is filled.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$here/lib/packages.sh"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off

all=(pki ociimage pause etcd coredns kube-apiserver kube-controller-manager kubelet kube-scheduler kube-proxy kubectl)
[ $# -gt 0 ] || set -- "${all[@]}"

command -v go >/dev/null || die "no go in PATH: the programs are built from source"
lock "$programs/build.lock"
mkdir -p "$bin" "$programs/log"

# make NAME DIRECTORY PACKAGE LDFLAGS INPUT...: go build, unless the program that
# is there was made of the same input. Content counts, not time: a fresh clone
# with a filled cache builds nothing.
make() {
	local program=$1 dir=$2 package=$3 ldflags=$4 sum t0=$SECONDS
	shift 4
	sum=$({ echo "$ldflags"; find "$@" -type f | LC_ALL=C sort | xargs cat; } | sha256sum)
	if [ -x "$bin/$program" ] && [ "$(cat "$bin/.$program.sum" 2>/dev/null)" = "$sum" ]; then return; fi
	echo "build $program"
	(cd "$dir" && go build -trimpath -ldflags "-s -w $ldflags" -o "$bin/.$program" "$package") \
		>"$programs/log/$program.log" 2>&1 9>&- ||
		{ tail -20 "$programs/log/$program.log" >&2; die "$program did not build, see $programs/log/$program.log"; }
	mv "$bin/.$program" "$bin/$program"
	echo "$sum" >"$bin/.$program.sum"
	[ $((SECONDS - t0)) -lt 5 ] || echo "      $((SECONDS - t0)) s"
}

version=k8s.io/component-base/version
minor=${kubernetes_version#v1.}
stamp="-X $version.gitVersion=$kubernetes_version -X $version.gitMajor=1 -X $version.gitMinor=${minor%%.*}"
for n in "$@"; do
	case $n in
	pki | ociimage | pause) make "$n" "$repo" "./test/cluster/tools/$n" "" "$here/tools/$n" ;;
	etcd) make etcd "$here/programs/etcd" go.etcd.io/etcd/server/v3 "" "$here/programs/etcd/go.mod" ;;
	coredns) make coredns "$here/programs/coredns" . "" "$here/programs/coredns" ;;
	kube-apiserver | kube-controller-manager | kubelet | kube-scheduler | kube-proxy | kubectl)
		make "$n" "$here/programs/kubernetes" "k8s.io/kubernetes/cmd/$n" "$stamp" "$here/programs/kubernetes/go.mod"
		;;
	*) die "build $n: want some of ${all[*]}" ;;
	esac
done
