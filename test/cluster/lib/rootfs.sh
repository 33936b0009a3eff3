# shellcheck shell=bash
# Puts together an image's files from programs of this machine; sourced by
# image.sh. All functions work on the directory $root.

# skeleton: the directories that programs expect, and names for two users.
skeleton() {
	local d
	mkdir -p "$root"/{usr/bin,usr/sbin,usr/lib,usr/lib64,usr/local/bin,etc,run,tmp,root,proc,sys,dev}
	chmod 1777 "$root/tmp"
	for d in bin sbin lib lib64; do ln -s "usr/$d" "$root/$d"; done
	printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/:/bin/sh >"$root/etc/passwd"
	printf '%s\n' root:x:0: nogroup:x:65534: >"$root/etc/group"
	echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
	printf '%s\n' 'domain 53/udp' 'http 80/tcp' 'https 443/tcp' >"$root/etc/services"
}

# libraries FILE...: copies what the dynamic loader would load, and the loader.
libraries() {
	local l
	# ldd fails for what is no program, such as a script
	{ ldd "$@" 2>/dev/null || true; } | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (0x.*/\1/p' | sort -u |
		while read -r l; do
			mkdir -p "$root$(dirname "$l")"
			[ -e "$root$l" ] || cp -L "$l" "$root$l"
		done
}

# program NAME...: from PATH to the same place, under its own name and this one.
program() {
	local p found real
	for p in "$@"; do
		found=$(type -P "$p") # the path, not a function of that name
		real=$(realpath "$found")
		cp "$real" "$root$(dirname "$real")/"
		[ -e "$root$found" ] || ln -s "$real" "$root$found"
		libraries "$real"
	done
}

# tree PATH...: copies directories as they are, to the same place.
tree() {
	local p
	for p in "$@"; do
		mkdir -p "$root$(dirname "$p")"
		cp -a "$p" "$root$(dirname "$p")/"
	done
}

# tree_libraries PATH...: the libraries of what "tree" copied and was kept.
tree_libraries() {
	local p f
	for p in "$@"; do
		find "$root$p" -type f \( -name '*.so*' -o -perm /111 \) -print0 |
			while IFS= read -r -d '' f; do libraries "$f"; done
	done
}

# package NAME...: the files of an installed Debian package without its pages,
# and their libraries.
package() {
	local p f
	for p in "$@"; do
		dpkg -L "$p" | grep -vE '^/(usr/share/(doc|man|lintian|locale|perl5|bug)|usr/lib/systemd|lib/systemd|etc/init)' | while read -r f; do
			if [ -L "$f" ] || [ -f "$f" ]; then
				# through our own /bin and /lib, which are links
				mkdir -p "$root$(dirname "$f")"
				cp -a "$f" "$root$f" 2>/dev/null || cp "$f" "$root$f"
				case $f in *.so* | */bin/* | */sbin/*) libraries "$f" ;; esac
			fi
		done
	done
}

# shell: busybox and its commands, but none in the place of a real program.
shell() {
	local a
	cp -L "$(command -v busybox)" "$root/usr/bin/busybox"
	busybox --list | while read -r a; do
		[ "$a" = busybox ] || [ -e "$root/usr/sbin/$a" ] || [ -e "$root/usr/bin/$a" ] || ln -s busybox "$root/usr/bin/$a"
	done
}

# iptables: nft and legacy, version 4 and 6, as Debian's package has them.
iptables_programs() {
	local x
	program iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore
	program {iptables,ip6tables}-{nft,legacy}{,-save,-restore}
	x=$(dirname "$(dpkg -L iptables | grep '/libxt_owner.so$')")
	mkdir -p "$root$x"
	cp "$x"/lib{xt,ipt,ip6t}_*.so "$root$x/"
	libraries "$x"/lib{xt,ipt,ip6t}_*.so
}
