package meshtest

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"syscall"
)

// Cmd is an exec.Cmd that starts inside a namespace. All of exec.Cmd's fields may be set before Start, including
// SysProcAttr.Credential. Start, Run, Output and CombinedOutput are replaced; the rest is exec.Cmd's own. The process
// is the named program itself (no wrapper), so its pid and exit status are the program's.
type Cmd struct {
	*exec.Cmd
	ns *Namespace
}

// Command prepares a program to be run inside the namespace; it is killed when ctx ends and when this process dies.
func (ns *Namespace) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ns: ns}
}

// As makes the program run under the user and group id, without supplementary groups. It returns c.
func (c *Cmd) As(uid, gid uint32) *Cmd {
	c.attr().Credential = &syscall.Credential{Uid: uid, Gid: gid}
	return c
}

func (c *Cmd) attr() *syscall.SysProcAttr {
	if c.SysProcAttr == nil {
		c.SysProcAttr = new(syscall.SysProcAttr)
	}
	return c.SysProcAttr
}

// Start starts the program without waiting for it.
func (c *Cmd) Start() error {
	c.attr().Pdeathsig = syscall.SIGKILL
	started := make(chan error, 1)
	select {
	case c.ns.jobs <- func() { started <- c.Cmd.Start() }:
		return <-started
	case <-c.ns.closed:
		return errors.New("meshtest: the namespace is closed")
	}
}

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to standard output. Standard error, unless taken, is put into the
// *exec.ExitError, as exec.Cmd.Output does.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	taken := c.Stderr != nil
	if !taken {
		c.Stderr = &stderr
	}
	err := c.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !taken {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to standard output and standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var b bytes.Buffer
	c.Stdout, c.Stderr = &b, &b
	err := c.Run()
	return b.Bytes(), err
}
