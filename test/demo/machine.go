package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const module = "github.com/sluice-mesh/sluice"

// programs are what the demo builds: the two that are shown, and the test application.
var programs = []string{"cmd/sidecar", "cmd/initcontainer", "test/meshtest/box"}

// prerequisites installs the commands that are missing where it may, and else names them.
func prerequisites(ctx context.Context) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("go list -m %s: %w (the demo is run from its source: go run ./test/demo)", module, err)
	}
	deps := exec.CommandContext(ctx, filepath.Join(strings.TrimSpace(string(root)), "test", "deps.sh"),
		"iptables", "iptables-restore", "ip")
	deps.Stdout, deps.Stderr = os.Stdout, os.Stderr
	if err := deps.Run(); err != nil {
		return fmt.Errorf("commands are missing: %w", err)
	}
	return nil
}

// workDir makes a directory that the proxy's user can read too. It is not below /run, which is covered later on.
func workDir() (string, error) {
	parent := os.TempDir()
	if strings.HasPrefix(parent, "/run/") || strings.HasPrefix(parent, "/var/run/") {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "sluice-demo-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// build puts the programs into dir. They are static, as in the image.
func build(ctx context.Context, dir string) error {
	args := []string{"build", "-trimpath", "-o", dir}
	for _, p := range programs {
		args = append(args, module+"/"+p)
	}
	c := exec.CommandContext(ctx, "go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// exitStatus is the end of the process in the user namespace, which has told the reason itself.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// enterUserNamespace runs this program again as root of a user namespace of its own, where network namespaces may be made
// without being root outside. Only the own user can be mapped there, so the proxy cannot run under another one; see
// half.redirect for what follows from it.
func enterUserNamespace(ctx context.Context, dir string) error {
	c := exec.Command("/proc/self/exe", insideFlag+dir)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("make a user namespace: %w\n%s", err, howToBePermitted())
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done(): // a terminal has told the inner process already; whoever uses kill has not
			c.Process.Signal(syscall.SIGTERM) // fails only when it has ended
		case <-ended:
		}
	}()
	err := c.Wait()
	close(ended)
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		return exitStatus(exit.ExitCode())
	}
	return err
}

// settleIn prepares the mount namespace that came with the user namespace: iptables wants to write its lock below /run.
// Nowhere else may /run be covered.
func settleIn() error {
	if userNamespace() == "" {
		return errors.New(insideFlag + " is for the demo's own use, in a user namespace")
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount a tmpfs over /run, in a user namespace: %w\n%s", err, howToBePermitted())
	}
	return nil
}

// howToBePermitted says what forbids namespaces here, as far as the kernel tells, and the way out.
func howToBePermitted() string {
	if os.Geteuid() == 0 && userNamespace() == "" {
		return "This root may not make network namespaces: it needs CAP_SYS_ADMIN and CAP_NET_ADMIN. " +
			"In a container, start that with --privileged; or run the demo on the machine itself."
	}
	for _, s := range []struct{ name, forbids string }{
		{"kernel.unprivileged_userns_clone", "0"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1"},
		{"user.max_user_namespaces", "0"},
	} {
		value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.name, ".", "/"))
		if err == nil && strings.TrimSpace(string(value)) == s.forbids {
			return fmt.Sprintf("Users may not make namespaces on this machine (%s is %s). Run it as root: sudo make demo",
				s.name, s.forbids)
		}
	}
	return "Run it as root: sudo make demo"
}

// userNamespace answers what the user map says when this is not the machine's own user namespace, else "".
func userNamespace() string {
	m, err := os.ReadFile("/proc/self/uid_map")
	if f := strings.Fields(string(m)); err != nil || len(f) == 3 && f[0] == "0" && f[1] == "0" {
		return ""
	}
	return string(m)
}
