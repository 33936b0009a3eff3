package meshtest

import (
	"fmt"
	"os"
)

// sysctl sets a setting of the calling thread's network namespace; name is its path below /proc/sys. A setting the
// kernel does not have (IPv6 compiled out) is left alone.
func sysctl(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("meshtest: set %s to %s: %w", name, value, err)
	}
	return nil
}
