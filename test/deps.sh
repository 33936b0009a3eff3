#!/bin/sh
# Makes sure that commands are there: installs their Debian packages when it may, else says exactly what is missing.
# Usage: test/deps.sh COMMAND...     (cc stands for a C compiler with its headers, which the race detector needs;
# venv for Python 3.11's virtual environments)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
packages=
for c in "$@"; do
	case $c in
	cc)
		command -v cc >/dev/null && [ -e /usr/include/stdlib.h ] && continue
		p='gcc libc6-dev'
		;;
	venv)
		[ -e /usr/lib/python3.11/ensurepip ] && continue
		p=python3.11-venv
		;;
	*)
		command -v "$c" >/dev/null && continue
		case $c in
		ip6tables) p=iptables ;;
		ip) p=iproute2 ;;
		ab) p=apache2-utils ;;
		h2load) p=nghttp2-client ;;
		nghttpx) p=nghttp2-proxy ;;
		nginx) p=nginx-light ;;
		setpriv | nsenter | unshare) p=util-linux ;;
		redis-server | redis-cli | redis-benchmark) p="redis-server redis-tools" ;;
		pgbench) p=postgresql ;;
		node) p=nodejs ;;
		javac) p=default-jdk-headless ;;
		mvn) p=maven ;;
		*) p=$c ;;
		esac
		;;
	esac
	for q in $p; do
		case " $packages " in *" $q "*) ;; *) packages="$packages $q" ;; esac
	done
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing$packages"
	log=$(mktemp)
	# Servers that come with a package must not be started by its installation.
	policy=/usr/sbin/policy-rc.d
	[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=1; }
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1
	rc=$?
	[ -z "${made:-}" ] || rm -f $policy
	[ $rc = 0 ] || tail -n 5 "$log" >&2
	rm -f "$log"
	[ $rc != 0 ] || exit 0
fi
echo "missing; install with: sudo apt-get install -y$packages" >&2
exit 1
