package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	boxPort = 8086
	boxAddr = "127.0.0.1:8086"
)

// Pinned, as is what they draw in by the versions they ask for.
var (
	nodeGRPC   = []string{"@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"}
	pythonGRPC = []string{"grpcio==1.85.1", "grpcio-tools==1.85.1", "grpcio-health-checking==1.85.1", "grpcio-reflection==1.85.1"}
)

// startBox starts the gRPC application, which was built into dir; clients may ping as often as these do.
func startBox(ctx context.Context, dir string, r *rig) (stop func(), err error) {
	return background(ctx, r, boxPort, 0, filepath.Join(dir, programName(grpcBox)), "serve", "--address", boxAddr, "--pod", "a", "--min-ping", "100ms")
}

// grpcLanguage makes a suite of another language's gRPC client: a program of clients that calls the box.
func grpcLanguage(name, source, file string, fetch func(ctx context.Context, dir string) error, interpreter func(dir string) []string,
	differences ...difference) *suite {
	s := &suite{name: name, source: source, differences: differences}
	build := buildPrograms(grpcBox)
	s.prepare = func(ctx context.Context, dir string) error {
		if err := fetch(ctx, dir); err != nil {
			return err
		}
		return build(ctx, dir)
	}
	linesSuite(s, func(dir string) (program, error) {
		proto, err := clientFile(dir, "testservice.proto")
		if err != nil {
			return program{}, err
		}
		path, err := clientFile(dir, file)
		return program{argv: append(interpreter(dir), path, boxAddr, proto), dir: dir, limit: 2 * time.Minute}, err
	})
	return besideBox(s)
}

// besideBox has the gRPC application run while the suite does.
func besideBox(s *suite) *suite {
	run, again := s.run, s.again
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		stop, err := startBox(ctx, dir, r)
		if err != nil {
			return nil, err
		}
		defer stop()
		return run(ctx, dir, r)
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		stop, err := startBox(ctx, dir, r)
		if err != nil {
			return verdict{}, err
		}
		defer stop()
		return again(ctx, dir, r, name)
	}
	return s
}

func nodeGRPCClient() *suite {
	return grpcLanguage("Node grpc-js", "npm @grpc/grpc-js 1.14.7", "grpc.mjs", func(ctx context.Context, dir string) error {
		if _, err := exec.LookPath("npm"); err != nil {
			return fmt.Errorf("%w (Debian packages nodejs, npm)", err)
		}
		args := append([]string{"install", "--no-audit", "--no-fund", "--silent", "--prefix", dir}, nodeGRPC...)
		_, err := output(exec.CommandContext(ctx, "npm", args...))
		return err
	}, func(string) []string { return []string{"node"} })
}

func pythonGRPCClient() *suite {
	return grpcLanguage("Python grpcio", "PyPI grpcio 1.85.1", "grpc_client.py", func(ctx context.Context, dir string) error {
		venv := filepath.Join(dir, "venv")
		if _, err := os.Stat(filepath.Join(venv, "done")); err == nil {
			return nil
		}
		if _, err := output(exec.CommandContext(ctx, python, "-m", "venv", venv)); err != nil {
			return fmt.Errorf("%w (Debian packages python3.11, python3.11-venv)", err)
		}
		args := append([]string{"install", "-q"}, pythonGRPC...)
		if _, err := output(exec.CommandContext(ctx, filepath.Join(venv, "bin", "pip"), args...)); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(venv, "done"), nil, 0o644)
	}, func(dir string) []string { return []string{filepath.Join(dir, "venv", "bin", "python")} })
}

// javaGRPC is grpc-java's version, javaGRPCCases how often its client is used, and mavenCopy the goal that fetches it with what it draws in.
const (
	javaGRPC      = "1.85.1"
	javaGRPCCases = 26
	mavenCopy     = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
)

// javaLibraries answers the directory of what the client runs with.
func javaLibraries(dir string) string { return filepath.Join(dir, "grpc-java-"+javaGRPC) }

func fetchJavaGRPC(ctx context.Context, dir string) error {
	// Java compiles the program when it starts, which takes the JDK.
	if _, err := exec.LookPath("javac"); err != nil {
		return fmt.Errorf("%w (Debian package default-jdk-headless)", err)
	}
	done := filepath.Join(javaLibraries(dir), "done")
	if _, err := os.Stat(done); err == nil {
		return nil
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		return fmt.Errorf("%w (Debian package maven)", err)
	}
	project, err := clientFile(dir, "pom.xml")
	if err != nil {
		return err
	}
	mvn := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", project, mavenCopy, "-Dgrpc.version="+javaGRPC, "-DincludeScope=runtime",
		"-DoutputDirectory="+javaLibraries(dir))
	if out, err := mvn.Output(); err != nil {
		return fmt.Errorf("mvn: %w: %s", err, firstLine(string(out))) // it has no other output for what went wrong
	}
	return os.WriteFile(done, nil, 0o644)
}

func javaGRPCClient() *suite {
	return grpcLanguage("Java grpc-java", "Maven grpc-java "+javaGRPC, "GrpcClient.java", fetchJavaGRPC, func(dir string) []string {
		return []string{"java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(javaLibraries(dir), "*")}
	}).atLeast(javaGRPCCases)
}

const ghzPackage = "github.com/bojand/ghz/cmd/ghz"

// ghz makes a suite of the load generator ghz, which learns the service from the server by reflection.
func ghz() *suite {
	const (
		run  = "./ghz --insecure --call grpc.testing.TestService."
		good = `\[OK\] +%d responses`
	)
	ok := func(n int) string { return fmt.Sprintf(good, n) + `\s*$` }
	s := calls("ghz", ghzPackage+"@v0.120.0", func(context.Context, *rig) (func(), error) { return func() {}, nil },
		call{"unary, one connection", run + `UnaryCall -d '{"responseSize":100}' -n 5000 -c 20 ` + boxAddr, ok(5000)},
		call{"unary, 10 connections", run + `UnaryCall -d '{"responseSize":100}' -n 5000 -c 50 --connections 10 ` + boxAddr, ok(5000)},
		call{"unary at a rate", run + `UnaryCall -d '{"responseSize":100}' -n 1000 --rps 500 ` + boxAddr, ok(1000)},
		call{"large answers", run + `UnaryCall -d '{"responseSize":3000000}' -n 50 -c 5 ` + boxAddr, ok(50)},
		call{"server streaming", run + `StreamingOutputCall -d '{"responseParameters":[{"size":1000},{"size":100000},{"size":10}]}' -n 500 -c 10 ` + boxAddr, ok(500)},
		call{"client streaming", run + `StreamingInputCall -d '[{"payload":{"body":"AAAA"}},{"payload":{"body":"AAAA"}}]' -n 500 -c 10 ` + boxAddr, ok(500)},
		call{"bidirectional", run + `FullDuplexCall -d '[{"responseParameters":[{"size":10}]},{"responseParameters":[{"size":1000}]}]' -n 500 -c 10 ` + boxAddr, ok(500)},
		call{"deadlines", run + `StreamingOutputCall -d '{"responseParameters":[{"size":1,"intervalUs":3000000}]}' -t 200ms -n 50 -c 10 ` + boxAddr,
			`\[DeadlineExceeded\] +50 responses`},
		call{"statuses", run + `UnaryCall -d '{"responseStatus":{"code":14,"message":"x"}}' -n 10 -c 1 ` + boxAddr, `\[Unavailable\] +10 responses`},
		call{"metadata", run + `UnaryCall -m '{"x-grpc-test-echo-initial":"a","x-grpc-test-echo-trailing-bin":"AAEC"}' -d '{}' -n 100 ` + boxAddr, ok(100)},
	)
	s.prepare = buildPrograms(ghzPackage, grpcBox)
	return besideBox(s)
}
