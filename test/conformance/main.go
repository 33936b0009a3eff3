// Command conformance runs tests that nobody here wrote through the proxy: other projects' own test suites and clients, in network
// namespaces where every loopback connection is redirected. What passes without the proxy and fails with it is a difference; it
// needs a reason here, or the run fails. A proxy that copies bytes and nothing else is run beside it: what differs there too is the
// redirect's doing. Suites in which the server speaks first are timed as well.
//
// It ends with 0 when there is no difference without a reason, 1 when there is one or a suite could not be run, 2 when nothing could.
//
//	conformance [--quick] [--only PATTERN] [-v] [--markdown FILE]
//
// It needs root. What it fetches is kept under ${SLUICE_CACHE:-~/.cache/sluice}/conformance.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sluice-mesh/sluice/test/figures"
	"github.com/sluice-mesh/sluice/test/meshtest"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "copy" {
		if err := byteCopy(proxyPort); err != nil {
			fmt.Fprintln(os.Stderr, "conformance copy:", err)
			os.Exit(1)
		}
		return
	}
	quick := flag.Bool("quick", false, "only suites that take little time, without the byte copy, and time is not judged")
	only := flag.String("only", "*", "only suites whose name matches the `pattern`")
	verbose := flag.Bool("v", false, "print what failing cases said")
	page := flag.String("markdown", "", "write the table of a whole run into this `file` too, between its marks")
	flag.Parse()
	if *page != "" && (*quick || *only != "*") {
		fmt.Fprintln(os.Stderr, "conformance: --markdown takes a whole run, without --quick and --only")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var text strings.Builder
	unexplained, err := conformance(ctx, io.MultiWriter(os.Stdout, &text), *quick, *only, *verbose)
	stop()
	if err == nil && *page != "" {
		err = figures.Write(*page, fmt.Sprintf("`make conformance`, %s, %s.\n\n```\n%s```\n", time.Now().UTC().Format(time.DateOnly), runtime.Version(), text.String()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if unexplained > 0 {
		os.Exit(1)
	}
}

// conformance runs the suites and prints the table. It answers how many differences have no reason.
func conformance(ctx context.Context, out io.Writer, quick bool, only string, verbose bool) (unexplained int, err error) {
	if err := meshtest.Permitted(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the proxy's user reads its manifests there
		return 0, err
	}
	const module = "github.com/sluice-mesh/sluice/"
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+"/", module+"cmd/sidecar", module+"test/conformance")
	if _, err := output(build); err != nil {
		return 0, err
	}
	var rigs []*rig
	for _, name := range columns {
		if quick && name == copied {
			continue
		}
		r, err := openRig(ctx, name, dir, dir)
		if err != nil {
			return 0, err
		}
		defer r.stop()
		rigs = append(rigs, r)
	}
	var reports []*report
	for _, s := range slices.Concat(suites, http2Suites) {
		if match, err := path.Match(fileName(only), fileName(s.name)); err != nil {
			return 0, err
		} else if !match || quick && !s.quick {
			continue
		}
		rep := measure(ctx, s, rigs, !quick)
		rep.progress(os.Stderr, verbose)
		reports = append(reports, rep)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	for _, r := range rigs[1:] {
		if text, err := os.ReadFile(r.log); err == nil && panicked(text) {
			reports = append(reports, &report{suite: &suite{name: "proxy log"}, err: fmt.Errorf("%s: a panic in the log:\n%s", r.name, text)})
		}
	}
	return table(out, reports), nil
}

// cacheDir is where a suite keeps what it fetched and built.
func cacheDir(name string) (string, error) {
	root := os.Getenv("SLUICE_CACHE")
	if root == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(home, "sluice")
	}
	dir := filepath.Join(root, "conformance", fileName(name))
	return dir, os.MkdirAll(dir, 0o755)
}
