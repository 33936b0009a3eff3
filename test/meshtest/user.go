package meshtest

import (
	"bufio"
	"fmt"
	"os"
)

// UserMapped reports why a user id cannot be used here, or nil. In a user namespace only mapped users exist: programs
// cannot run under another one (Cmd.As), and the kernel refuses rules that match its packets (iptables --uid-owner). An
// unprivileged person's namespace maps one user, unless newuidmap is installed.
func UserMapped(uid uint32) error {
	f, err := os.Open("/proc/self/uid_map")
	if err != nil {
		return fmt.Errorf("meshtest: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var inside, outside, count uint32 // 0 0 4294967295 outside of user namespaces
		if _, err := fmt.Sscan(lines.Text(), &inside, &outside, &count); err != nil {
			return fmt.Errorf("meshtest: /proc/self/uid_map: %q: %w", lines.Text(), err)
		}
		if uid >= inside && uid-inside < count {
			return nil
		}
	}
	return fmt.Errorf("meshtest: user id %d is not mapped in this user namespace", uid)
}
