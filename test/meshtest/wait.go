package meshtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// pollEvery is the pause between two looks at a condition: short for a person, long for a shared machine.
const pollEvery = 10 * time.Millisecond

// Poll asks until done is true, an error comes, or ctx ends; then it says what it was waiting for.
func Poll(ctx context.Context, what string, ask func() (done bool, err error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		done, err := ask()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-t.C:
		}
	}
}

// WaitPort waits until something in the namespace listens on the TCP port, on whatever address. It reads the kernel's
// table and sends nothing, so a server that counts connections does not see it.
func (ns *Namespace) WaitPort(ctx context.Context, port uint16) error {
	return Poll(ctx, fmt.Sprintf("a listener on TCP port %d", port), func() (found bool, err error) {
		err = ns.Do(func() error {
			for _, table := range []string{"tcp", "tcp6"} {
				b, err := os.ReadFile("/proc/thread-self/net/" + table)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				found = found || listens(string(b), port)
			}
			return nil
		})
		return found, err
	})
}

// listens looks for a listening socket in the text of /proc/net/tcp: "0: 0100007F:3BC5 00000000:0000 0A …".
func listens(table string, port uint16) bool {
	const stateListen = "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if p, err := strconv.ParseUint(hex, 16, 16); err == nil && uint16(p) == port {
			return true
		}
	}
	return false
}
