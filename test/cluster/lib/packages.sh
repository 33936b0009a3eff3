# shellcheck shell=bash
# What is needed of the distribution: sourced, not run.

# need COMMAND=PACKAGE...: installs the packages of missing commands, when that
# is possible here, and else names all of them at once. A COMMAND that starts
# with a slash is a file.
need() {
	local pair file packages=()
	for pair in "$@"; do
		file=${pair%%=*}
		case $file in
		/*) [ -e "$file" ] ;;
		*) command -v "$file" >/dev/null ;;
		esac || packages+=("${pair#*=}")
	done
	[ ${#packages[@]} -gt 0 ] || return 0
	mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)
	local how="apt-get install -y --no-install-recommends ${packages[*]}"
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ -n "${SLUICE_NO_INSTALL:-}" ]; then
		die "missing here, in Debian's names: ${packages[*]}
Install them as root with:
  $how"
	fi
	echo "install ${packages[*]}"
	install_packages "${packages[@]}" || die "could not install; try: apt-get update && $how"
}

# install_packages PACKAGE...: without starting the services they bring.
install_packages() (
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	exec 9>&- # what apt starts must not hold our lock
	export DEBIAN_FRONTEND=noninteractive
	install=(apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends "$@")
	"${install[@]}" >/dev/null 2>&1 && exit
	apt-get -qq update
	"${install[@]}" >/dev/null
)

# For a node: all of Debian's that it runs or that its programs call.
node_needs=(
	containerd=containerd ctr=containerd containerd-shim-runc-v2=containerd runc=runc
	ip=iproute2 iptables=iptables nft=nftables conntrack=conntrack
	nsenter=util-linux unshare=util-linux mount=mount flock=util-linux ps=procps
)

# cni_dir: where the CNI plugins are.
cni_dir() {
	local d
	for d in /usr/lib/cni /opt/cni/bin /usr/libexec/cni; do
		if [ -x "$d/bridge" ] && [ -x "$d/host-local" ] && [ -x "$d/loopback" ] && [ -x "$d/portmap" ]; then
			echo "$d"
			return
		fi
	done
	return 1
}

need_node() {
	local more=()
	cni_dir >/dev/null || more=(/usr/lib/cni/bridge=containernetworking-plugins)
	need "${node_needs[@]}" "${more[@]}"
}
