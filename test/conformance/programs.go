package main

import (
	"context"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// grpcBox is the gRPC application of the tests.
const grpcBox = "github.com/sluice-mesh/sluice/test/grpc/box"

// programName answers what a program that test/grpc pins is called once it is built: its package is the main one of a directory.
func programName(pkg string) string {
	base := path.Base(pkg)
	if base == "client" || base == "server" {
		base = path.Base(path.Dir(pkg)) + "-" + base
	}
	return base
}

// buildPrograms makes a suite's preparation: it builds programs of the module test/grpc into the suite's directory.
func buildPrograms(pkgs ...string) func(ctx context.Context, dir string) error {
	return func(ctx context.Context, dir string) error {
		root, err := moduleRoot(ctx)
		if err != nil {
			return err
		}
		dir, err = filepath.Abs(dir)
		if err != nil {
			return err
		}
		for _, pkg := range pkgs {
			build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, programName(pkg)), pkg)
			build.Dir = filepath.Join(root, "test", "grpc")
			if _, err := output(build); err != nil {
				return err
			}
		}
		return nil
	}
}

// moduleRoot answers the directory of the module under test.
func moduleRoot(ctx context.Context) (string, error) {
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sluice-mesh/sluice"))
	return strings.TrimSpace(root), err
}
