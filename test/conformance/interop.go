package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	interopServer  = "google.golang.org/grpc/interop/server"
	interopClient  = "google.golang.org/grpc/interop/client"
	interopVersion = "google.golang.org/grpc/interop@v1.85.0"
	interopPort    = 8085
	interopLimit   = 30 * time.Second // for one case; the longest takes one second
)

// interopCases are those that need no cloud's credentials.
var interopCases = strings.Fields(`empty_unary large_unary client_streaming server_streaming ping_pong empty_stream
	timeout_on_sleeping_server cancel_after_begin cancel_after_first_response status_code_and_message special_status_message
	custom_metadata unimplemented_method unimplemented_service rpc_soak channel_soak`)

// interop makes a suite of grpc-go's interop client against its interop server.
func interop(differences ...difference) *suite {
	s := &suite{name: "gRPC interop", source: interopVersion, quick: true, least: len(interopCases), prepare: buildPrograms(interopServer, interopClient),
		differences: differences}
	run := func(ctx context.Context, dir string, r *rig, cases ...string) (results, error) {
		stop, err := background(ctx, r, interopPort, 0, filepath.Join(dir, programName(interopServer)), "-port", fmt.Sprint(interopPort))
		if err != nil {
			return nil, err
		}
		defer stop()
		rs := results{}
		for _, name := range cases {
			rs[name] = interopCase(ctx, r, filepath.Join(dir, programName(interopClient)), name)
		}
		return rs, ctx.Err()
	}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) {
		return run(ctx, dir, r, interopCases...)
	}
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		rs, err := run(ctx, dir, r, name)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

func interopCase(ctx context.Context, r *rig, client, name string) verdict {
	ctx, cancel := context.WithTimeout(ctx, interopLimit)
	defer cancel()
	began := time.Now()
	out, err := r.Command(ctx, client, "-server_host", "127.0.0.1", "-server_port", fmt.Sprint(interopPort), "-test_case", name).CombinedOutput()
	v := verdict{ok: err == nil, took: time.Since(began)}
	if !v.ok {
		v.detail = fmt.Sprintf("%v: %s", err, lastLine(string(out)))
	}
	return v
}

// connectFeatures restrict Connect's suite to gRPC over HTTP/2 without TLS: connectCases of them.
const connectFeatures = `features:
  versions: [HTTP_VERSION_2]
  protocols: [PROTOCOL_GRPC]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP]
  supportsH2c: true
  supportsTls: false
`

const (
	connectPrograms = "connectrpc.com/conformance/cmd/"
	connectCases    = 304
	connectLimit    = 2 * time.Minute
)

// connect makes a suite of Connect's conformance tests: their reference client against their reference server, which listens on a port
// that the system picks.
func connect(differences ...difference) *suite {
	s := &suite{name: "Connect conformance, gRPC", source: "connectrpc.com/conformance@v1.0.5", quick: true, least: connectCases, differences: differences,
		prepare: buildPrograms(connectPrograms+"connectconformance", connectPrograms+"referenceclient", connectPrograms+"referenceserver")}
	run := func(ctx context.Context, dir string, r *rig, args ...string) (results, error) {
		conf := filepath.Join(dir, fileName(r.name)+".yaml")
		if err := os.WriteFile(conf, []byte(connectFeatures), 0o644); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, connectLimit)
		defer cancel()
		args = append([]string{"--mode", "both", "--conf", conf, "--max-servers", "1", "--vv"}, args...)
		args = append(args, "--", filepath.Join(dir, "referenceclient"), "----", filepath.Join(dir, "referenceserver"), "-bind", "127.0.0.1")
		cmd := r.Command(ctx, filepath.Join(dir, "connectconformance"), args...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run() // ends with 1 when a case failed
		rs := parseConnect(out.String())
		if len(rs) == 0 {
			return nil, fmt.Errorf("connectconformance: no results: %v: %s", err, lastLine(out.String()))
		}
		rs.endedBadly(err, lastLine(out.String()))
		return rs, nil
	}
	s.run = func(ctx context.Context, dir string, r *rig) (results, error) { return run(ctx, dir, r) }
	s.again = func(ctx context.Context, dir string, r *rig, name string) (verdict, error) {
		var only []string
		if name != theRun {
			only = []string{"--run", name}
		}
		rs, err := run(ctx, dir, r, only...)
		if err != nil {
			return verdict{}, err
		}
		return rs.again(name)
	}
	return s
}

var (
	connectSent   = regexp.MustCompile(`(?m)^Sending request for "(.*)"\.\.\.$`)
	connectFailed = regexp.MustCompile(`(?m)^FAILED: (\S.*?):\n((?:[ \t].*\n?)*)`)
	connectPassed = regexp.MustCompile(`(?m)^(\d+) passed, `)
)

// parseConnect reads the cases that were begun and those that failed. Cases that were begun and came to no end fail as theRun.
func parseConnect(text string) results {
	rs := results{}
	for _, m := range connectSent.FindAllStringSubmatch(text, -1) {
		rs[m[1]] = verdict{ok: true}
	}
	for _, m := range connectFailed.FindAllStringSubmatch(text, -1) {
		rs[m[1]] = verdict{detail: strings.Join(strings.Fields(m[2]), " ")}
	}
	if m := connectPassed.FindStringSubmatch(text); len(rs) > 0 && (m == nil || m[1] != fmt.Sprint(rs.passed())) {
		rs[theRun] = verdict{detail: lastLine(text)}
	}
	return rs
}
