package initcontainer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/sluice-mesh/sluice/initcontainer/apply"
	"github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/initcontainer/ruleset"
)

// What Run returns, for os.Exit.
const (
	ExitDone     = 0 // the rules are in force, or removed, or printed
	ExitFailed   = 1 // the log says what is missing
	ExitSettings = 2 // a setting is wrong; nothing was tried
)

// Run does the program's work in the calling thread's network namespace and returns its exit status. args are without
// the program's name, environ is as os.Environ has it. Help and the rules of --dry-run go to stdout, the log (JSON
// lines) to stderr. When ctx ends it stops before the next change; every state it can stop in is safe to run it on again.
func Run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	c, err := config.Parse(args, environ)
	if errors.Is(err, flag.ErrHelp) {
		return printed(log, stdout, config.Usage())
	}
	if err != nil {
		log.Error("wrong settings", "error", err)
		return ExitSettings
	}
	if c.DryRun {
		return printed(log, stdout, dryRun(c))
	}
	useLockFile(log, c.IptablesMode)
	s := apply.System{Open: apply.OpenIptables, Host: apply.ReadHost(), Log: log}
	if c.Remove {
		err = s.Remove(ctx)
	} else {
		logSettings(log, c)
		err = s.Apply(ctx, c)
	}
	if err != nil {
		log.Error("failed", "error", err)
		return ExitFailed
	}
	return ExitDone
}

func printed(log *slog.Logger, stdout io.Writer, text string) int {
	if _, err := io.WriteString(stdout, text); err != nil {
		log.Error("failed", "error", err)
		return ExitFailed
	}
	return ExitDone
}

// dryRun is what a namespace without rules of ours would be given, one part for each family's restore program.
func dryRun(c config.Config) string {
	if c.Remove {
		var names []string
		for _, ch := range ruleset.Chains {
			names = append(names, ch.Names()...)
		}
		return fmt.Sprintf("# --%s: no rules; chains %s and the jumps to them would be removed\n", config.FlagRemove, strings.Join(names, ", "))
	}
	var text string
	for _, f := range []ruleset.Family{ruleset.IPv4, ruleset.IPv6} {
		if script := ruleset.Script(c, f); script != "" {
			text += fmt.Sprintf("# %s\n%s", f, script)
		} else {
			text += fmt.Sprintf("# %s: no rules\n", f)
		}
	}
	return text
}

// logSettings says in one line what the pod's traffic will meet.
func logSettings(log *slog.Logger, c config.Config) {
	attrs := []any{"args", c.Args()}
	if c.ExcludeAPIServer && c.APIServer.IsValid() {
		attrs = append(attrs, "apiServer", c.APIServer.String())
	}
	log.Info("settings", attrs...)
}

// Where legacy iptables puts its lock, and what says otherwise (iptables 1.8.6 and newer).
const (
	lockFile    = "/run/xtables.lock"
	lockFileEnv = "XTABLES_LOCKFILE"
)

// useLockFile gives legacy iptables a lock file it can open when its own place is read-only, as it is in a container
// with a read-only root file system. The lock is between programs of one container in any case, and in ours nothing
// else changes rules, so any file will do: /dev/null can be locked everywhere.
func useLockFile(log *slog.Logger, m config.Mode) {
	if m == config.ModeNFT || os.Getenv(lockFileEnv) != "" {
		return
	}
	if f, err := os.OpenFile(lockFile, os.O_CREATE|os.O_RDONLY, 0o600); err == nil {
		f.Close()
		return
	}
	if err := os.Setenv(lockFileEnv, os.DevNull); err != nil {
		log.Warn("legacy iptables may find no lock file", "error", err)
	}
}
