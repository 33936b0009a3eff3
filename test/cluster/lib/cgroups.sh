# shellcheck shell=bash disable=SC2034 # up.sh reads what is set here
# The node's cgroups; sourced by up.sh.

# make_cgroups: one cgroup of ours in each hierarchy, listed in $state/cgroups.
# The node gets a cgroup namespace rooted there: it sees nothing else, and all
# below can be removed when it has ended. Sets cgroup_mounts for node.sh: "v2",
# or the controllers of each version 1 hierarchy; and cgroup_leaf, the group that
# the node's own programs have to be in, if that is another.
make_cgroups() {
	cgroup_leaf=
	: >"$state/cgroups"
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		make_cgroup2
	else
		make_cgroups1
	fi
}

# Version 2 lets no group with processes of its own hand controllers down, the
# root excepted: so ours is placed directly below the root, and the node's
# programs in a leaf below ours, beside the pods.
make_cgroup2() {
	local c have dir=/sys/fs/cgroup/$name
	for c in cpu cpuset memory pids; do
		grep -qw $c /sys/fs/cgroup/cgroup.controllers ||
			die "cgroup version 2 without its controller $c (bound to a version 1 hierarchy, or not delegated to this container)"
		grep -qw $c /sys/fs/cgroup/cgroup.subtree_control || echo "+$c" 2>/dev/null >/sys/fs/cgroup/cgroup.subtree_control ||
			die "cgroup version 2: cannot hand $c down from /sys/fs/cgroup: in a container, where that is not the real root, it must hold no process itself"
	done
	mkdir -p "$dir/node"
	echo "$dir" >>"$state/cgroups"
	cgroup_leaf=$dir/node
	have=$(cat "$dir/cgroup.controllers")
	for c in cpu cpuset memory pids; do
		case " $have " in *" $c "*) ;; *) die "cgroup version 2: $dir has no $c (it has: $have)" ;; esac
	done
	cgroup_mounts=v2
}

make_cgroups1() {
	local ctrl path mount dir f c
	cgroup_mounts=
	while IFS=: read -r _ ctrl path; do
		[ -n "$ctrl" ] || continue # the entry of version 2 names no controller
		mount=$(mount_of "${ctrl%%,*}")
		[ -n "$mount" ] || continue
		path=${path%/}
		dir=$mount$path/$name
		mkdir -p "$dir"
		if [ -f "$dir/cpuset.cpus" ]; then
			# an empty set takes no process
			for f in cpuset.cpus cpuset.mems; do cat "$mount$path/$f" >"$dir/$f"; done
		fi
		echo "$dir" >>"$state/cgroups"
		cgroup_mounts="$cgroup_mounts $ctrl"
	done </proc/self/cgroup
	for c in cpu cpuacct cpuset memory pids; do
		case ",${cgroup_mounts// /,}," in
		*",$c,"*) ;;
		*) die "no cgroup hierarchy has the controller $c: neither version 1 nor a full version 2 (have:$cgroup_mounts)" ;;
		esac
	done
}

# mount_of CONTROLLER: where its version 1 hierarchy is mounted. The optional
# fields of mountinfo end with a dash.
mount_of() {
	awk -v want="$1" '{
		for (i = 7; i <= NF; i++) if ($i == "-") {
			if ($(i+1) == "cgroup") {
				n = split($(i+3), option, ",")
				for (j = 1; j <= n; j++) if (option[j] == want) { print $5; exit }
			}
			break
		}
	}' /proc/self/mountinfo
}
