#!/usr/bin/env bash
# cluster image [NAME...]: makes image archives without a container builder
# and gives them to the node when it runs and has others. Prints what was made. Without a name: sluice.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
. "$here/lib/packages.sh"
. "$here/lib/rootfs.sh"
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
[ $# -gt 0 ] || set -- sluice
case " $* " in *" coredns "*) "$here/lib/build.sh" pause ociimage coredns ;; *) "$here/lib/build.sh" pause ociimage ;; esac
mkdir -p "$images" "$checkout/bin"
lock "$checkout/image.lock"
work=$(mktemp -d "$checkout/rootfs.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# changed NAME INPUT...: whether the archive is missing or made of other input;
# an input is a file, or text such as a package's version.
changed() {
	local n=$1 i
	shift
	sum=$(for i in "$here/lib/image.sh" "$here/lib/rootfs.sh" "$@"; do
		if [ -f "$i" ]; then sha256sum <"$i"; else echo "$i"; fi
	done | sha256sum)
	[ ! -f "$images/$n.tar" ] || [ "$(cat "$images/$n.sum" 2>/dev/null)" != "$sum" ]
}

# archive NAME:TAG FLAG...: ends what "changed" began.
archive() {
	local n=${1%%:*} ref=$registry/$1
	shift
	"$bin/ociimage" -o "$images/$n.tar" -name "$ref" "$@"
	echo "$sum" >"$images/$n.sum"
	echo "image $ref ($(($(stat -c %s "$images/$n.tar") / 1048576)) MiB)"
}

fresh_root() {
	rm -rf "$root"
	mkdir -p "$root"
	skeleton
}

# versions PACKAGE...: what is installed, to notice an upgrade.
versions() { dpkg-query -W "$@"; }

# go_programs DIRECTORY PACKAGE...: of the module in $module, else of the product's own
go_programs() {
	local dir=$1
	shift
	rm -rf "$dir"
	mkdir -p "$dir"
	(cd "${module:-$repo}" && go build -trimpath -ldflags "-s -w" -o "$dir/" "$@" 9>&-)
}

one() {
	case $1 in
	pause)
		changed pause "$bin/pause" || return 0
		archive pause:1 -add "$bin/pause:/pause" -entrypoint /pause -user 65535:65535
		;;
	coredns)
		changed coredns "$bin/coredns" || return 0
		archive coredns:1 -add "$bin/coredns:/coredns" -entrypoint /coredns
		;;
	box)
		need busybox=busybox-static
		go_programs "$checkout/bin/box" ./test/meshtest/box
		changed box "$checkout/bin/box/box" "$(versions busybox-static)" || return 0
		fresh_root
		shell
		archive box:1 -add "$root:/" -add "$checkout/bin/box/box:/usr/local/bin/box" \
			-entrypoint /usr/local/bin/box -cmd serve -user 65532:65532
		;;
	grpc) # the same for gRPC, of a module of its own
		need busybox=busybox-static
		module=$repo/test/grpc go_programs "$checkout/bin/grpc" ./box
		changed grpc "$checkout/bin/grpc/box" "$(versions busybox-static)" || return 0
		fresh_root
		shell
		archive grpc:1 -add "$root:/" -add "$checkout/bin/grpc/box:/usr/local/bin/box" \
			-entrypoint /usr/local/bin/box -cmd serve -user 65532:65532
		;;
	iptables) # the lower layer of sluice; of use by itself too
		need iptables=iptables
		changed iptables "$(versions iptables)" || return 0
		fresh_root
		iptables_programs
		archive iptables:1 -add "$root:/"
		;;
	sluice)
		one iptables
		local programs=()
		mapfile -t programs < <(cd "$repo" && go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./cmd/... 2>/dev/null)
		[ ${#programs[@]} -gt 0 ] || die "image sluice: no program in ./cmd"
		go_programs "$checkout/bin/sluice" "${programs[@]}"
		changed sluice "$images/iptables.sum" "$checkout"/bin/sluice/* || return 0
		archive sluice:dev -from "$images/iptables.tar" -add "$checkout/bin/sluice:/usr/local/bin" -user 15301:15301
		;;
	tools)
		need curl=curl ab=apache2-utils wrk=wrk openssl=openssl busybox=busybox-static
		changed tools "$(versions curl apache2-utils wrk openssl busybox-static)" || return 0
		fresh_root
		program curl ab wrk openssl
		mkdir -p "$root/etc/ssl" "$root/usr/lib/ssl"
		shell
		archive tools:1 -add "$root:/" -entrypoint /bin/sh -user 65532:65532
		;;
	redis)
		need redis-server=redis-server redis-cli=redis-tools busybox=busybox-static
		changed redis "$(versions redis-server redis-tools busybox-static)" || return 0
		fresh_root
		program redis-server redis-cli redis-benchmark
		shell
		archive redis:1 -add "$root:/" -mkdir data:1777 -workdir /data -user 65532:65532 -entrypoint redis-server \
			-cmd --bind -cmd 0.0.0.0 -cmd --protected-mode -cmd no -cmd --save -cmd ''
		;;
	postgres) postgres ;;
	mariadb) mariadb ;;
	python)
		need python3=python3-minimal /usr/lib/python3/dist-packages/requests=python3-requests busybox=busybox-static
		python
		;;
	*) die "image $1: want some of sluice box grpc tools redis postgres mariadb python iptables pause coredns" ;;
	esac
}

# With "-A trust" for all: a test's database. It starts as any user but root.
postgres() {
	need /usr/lib/postgresql=postgresql busybox=busybox-static
	local major
	major=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | tail -1)
	changed postgres "$(versions "postgresql-$major" "postgresql-client-$major" busybox-static)" "$here/images/postgres-start" || return 0
	fresh_root
	tree "/usr/lib/postgresql/$major" "/usr/share/postgresql/$major" /usr/share/zoneinfo
	# the just-in-time compiler would bring LLVM with it
	rm -rf "$root/usr/lib/postgresql/$major/lib/"{llvmjit.so,llvmjit_types.bc,bitcode,pgxs}
	tree_libraries "/usr/lib/postgresql/$major"
	local p
	for p in "$root/usr/lib/postgresql/$major/bin/"*; do ln -s "../lib/postgresql/$major/bin/$(basename "$p")" "$root/usr/bin/"; done
	echo postgres:x:65532:65532:postgres:/data:/bin/sh >>"$root/etc/passwd"
	echo postgres:x:65532: >>"$root/etc/group"
	cp "$here/images/postgres-start" "$root/usr/local/bin/"
	shell
	archive postgres:1 -add "$root:/" -mkdir data:1777 -workdir /data -user 65532:65532 -entrypoint postgres-start
}

mariadb() {
	need mariadbd=mariadb-server mariadb=mariadb-client busybox=busybox-static
	changed mariadb "$(versions mariadb-server mariadb-client busybox-static)" "$here/images/mariadb-start" || return 0
	fresh_root
	program mariadbd mariadb mariadb-install-db my_print_defaults resolveip
	tree /usr/share/mysql
	echo mysql:x:65532:65532:mysql:/data:/bin/sh >>"$root/etc/passwd"
	echo mysql:x:65532: >>"$root/etc/group"
	cp "$here/images/mariadb-start" "$root/usr/local/bin/"
	shell
	archive mariadb:1 -add "$root:/" -mkdir data:1777 -workdir /data -user 65532:65532 -entrypoint mariadb-start
}

python() {
	local v
	v=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	local packages=("python$v-minimal" "libpython$v-minimal" "libpython$v-stdlib" python3-requests python3-urllib3 python3-chardet
		python3-charset-normalizer python3-idna python3-certifi python3-six python3-pkg-resources)
	local p installed=()
	for p in "${packages[@]}"; do ! dpkg-query -W "$p" >/dev/null 2>&1 || installed+=("$p"); done
	changed python "$(versions "${installed[@]}" busybox-static)" || return 0
	fresh_root
	package "${installed[@]}"
	ln -sf "python$v" "$root/usr/bin/python3"
	mkdir -p "$root/etc/ssl/certs"
	touch "$root/etc/ssl/certs/ca-certificates.crt"
	shell
	archive python:1 -add "$root:/" -entrypoint /usr/bin/python3 -user 65532:65532
}

running() { [ "$(id -u)" = 0 ] && [ -e "$state/images-loaded" ] && init_pid >/dev/null; }
for n in "$@"; do
	one "$n"
	if running && ! cmp -s "$images/$n.sum" "$state/loaded/$n"; then "$here/lib/load.sh" "$n" >/dev/null; fi
done
