#!/bin/sh
# Makes sure that commands are there: installs their Debian packages when it may, else says exactly what is missing.
# Usage: test/deps.sh COMMAND...
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
packages=
for c in "$@"; do
	command -v "$c" >/dev/null && continue
	case $c in
	ip6tables) p=iptables ;;
	ip) p=iproute2 ;;
	ab) p=apache2-utils ;;
	*) p=$c ;;
	esac
	case " $packages " in *" $p "*) ;; *) packages="$packages $p" ;; esac
done
[ -n "$packages" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "installing$packages"
	{ apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } >/tmp/sluice-deps.$$ 2>&1 && {
		rm -f /tmp/sluice-deps.$$
		exit 0
	}
	tail -n 5 /tmp/sluice-deps.$$ >&2
	rm -f /tmp/sluice-deps.$$
fi
echo "missing; install with: sudo apt-get install -y$packages" >&2
exit 1
