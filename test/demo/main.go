// Command demo shows on one Linux machine what Sluice does, without a cluster: network namespaces are pods, a
// ClusterIP is the target, an unchanged keep-alive client calls it. Two such networks run side by side, one as kube-proxy
// alone serves it and one with Sluice's own programs, and the same happens to both. It ends with 1 when the side with
// Sluice does not keep its promise. "make demo" runs it.
//
// Everything happens in namespaces made here; when the program ends, however it ends, they and all processes are gone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/meshtest"
)

// insideFlag tells the process in the user namespace where the programs are.
const insideFlag = "--inside="

// longest bounds a run after the build; it takes half of that on a slow machine.
const longest = 60 * time.Second

func main() {
	// Children get a signal when the thread that started them ends: this one does not.
	runtime.LockOSThread()
	// Where iptables is, and users' paths do not lead.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	var status exitStatus
	switch {
	case err == nil:
	case interrupted:
		if !inside() { // who waits for it says so
			fmt.Fprintln(os.Stderr, "\ninterrupted; everything is cleaned up")
		}
		os.Exit(130) // 128 and the number of SIGINT, as shells have it
	case errors.As(err, &status): // the inner process has said why
		os.Exit(int(status))
	default:
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// inside reports whether this is the process in the user namespace.
func inside() bool { return len(os.Args) == 2 && strings.HasPrefix(os.Args[1], insideFlag) }

func run(ctx context.Context) error {
	if inside() {
		if err := settleIn(); err != nil {
			return err
		}
		return show(ctx, strings.TrimPrefix(os.Args[1], insideFlag))
	}
	if len(os.Args) > 1 {
		return fmt.Errorf("unexpected argument %q: the demo takes none", os.Args[1])
	}
	if err := prerequisites(ctx); err != nil {
		return err
	}
	dir, err := workDir()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Print("building sidecar, initcontainer and the test application ... ")
	began := time.Now()
	if err := build(ctx, dir); err != nil {
		return err
	}
	fmt.Printf("%.1f s\n", time.Since(began).Seconds())
	if os.Geteuid() != 0 {
		return enterUserNamespace(ctx, dir)
	}
	return show(ctx, dir)
}

// show plays the scenes with the programs in dir.
func show(ctx context.Context, dir string) error {
	if err := meshtest.Permitted(); err != nil {
		return fmt.Errorf("%w\n%s", err, howToBePermitted())
	}
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	began := time.Now()
	without, with, err := openBoth(ctx, dir)
	defer func() {
		for _, h := range []*half{without, with} {
			if h != nil {
				h.close()
			}
		}
	}()
	if err != nil {
		return err
	}
	p := newPainter(os.Stdout)
	p.opening(with.rootless)
	for _, scene := range []func(context.Context, *painter, *half, *half) error{oneConnection, aPodDies} {
		if err := scene(ctx, p, without, with); err != nil {
			return errors.Join(err, with.log())
		}
	}
	p.closing(time.Since(began))
	return nil
}
