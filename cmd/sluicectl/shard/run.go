// Package shard is sluicectl shard: which pod owns a key, worked out as sidecars do it, from outside of any.
package shard

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sluice-mesh/sluice/sidecar/directory"
)

const usage = `Usage: sluicectl shard [flags] [NAMESPACE/]SERVICE[:PORT] KEY ...

Says which pod owns a key of a Service with sluice.mesh/shard-key, why, and which
pods come after it. It makes the map that sidecars make, with their code, of what
the cluster says now, or of a directory of manifests as sidecars with
--discovery=files read it; no sidecar is asked.

A key of several parts is written with commas between them, in the order of
shard-key; a comma or a backslash in a part has a backslash before it. A KEY of -
stands for the lines of standard input. For a Service with sluice.mesh/shard-cookie
it is the cookie's value.

    sluicectl shard shop/orders 4711 4712
    sluicectl shard --manifests=DIR --output=json shop/orders acme,7
    sluicectl shard shop/orders - < accounts.txt

Flags:
  --manifests=DIR    read manifests: Service, EndpointSlices, StatefulSet, ConfigMap
  --kubeconfig=FILE  else ask this cluster; without it KUBECONFIG, then ~/.kube/config
  --namespace=NAME   of a SERVICE without one; default
  --successors=N     how many pods behind the owner are shown; 2
  --output=FORMAT    table or json
  --timeout=DURATION how long to wait for the cluster's answers; 10s

The exit status is 0 where all keys have an owner that can be reached, 1 where one
has not, and 2 where it could not be found out.
`

// settings are the flags.
type settings struct {
	manifests, kubeconfig, namespace, output string
	successors                               int
	timeout                                  time.Duration
}

// Run is the command. It answers the exit status.
func Run(args []string, in io.Reader, out, problems io.Writer) int {
	var s settings
	flags := flag.NewFlagSet("sluicectl shard", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	for _, a := range args {
		if a == "--help" || a == "-help" || a == "-h" {
			flags.SetOutput(out)
		}
	}
	flags.StringVar(&s.manifests, "manifests", "", "")
	flags.StringVar(&s.kubeconfig, "kubeconfig", "", "")
	flags.StringVar(&s.namespace, "namespace", "default", "")
	flags.StringVar(&s.namespace, "n", "default", "")
	flags.StringVar(&s.output, "output", "table", "")
	flags.IntVar(&s.successors, "successors", 2, "")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() < 2 {
		flags.Usage()
		return 2
	}
	for _, key := range flags.Args()[1:] {
		if strings.HasPrefix(key, "--") {
			fmt.Fprintf(problems, "sluicectl shard: %s: flags come before the SERVICE; a key that begins so can be given on standard input\n", key)
			return 2
		}
	}
	status, err := s.run(flags.Arg(0), flags.Args()[1:], in, out, problems)
	if err != nil {
		fmt.Fprintln(problems, "sluicectl shard:", err)
		return 2
	}
	return status
}

func (s *settings) run(service string, keys []string, in io.Reader, out, problems io.Writer) (int, error) {
	if s.output != "table" && s.output != "json" {
		return 0, fmt.Errorf("--output=%s: want table or json", s.output)
	}
	if s.successors < 0 || s.successors > 1000 {
		return 0, fmt.Errorf("--successors=%d: want a number from 0 to 1000", s.successors)
	}
	if !strings.Contains(service, "/") {
		service = s.namespace + "/" + service
	}
	keys, err := lines(keys, in)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	view, err := s.look(ctx, service)
	if err != nil {
		return 0, err
	}
	defer view.end()
	for _, p := range view.problems() {
		fmt.Fprintln(problems, "sluicectl shard:", p)
	}
	target, err := directory.Find(view.targets, service)
	if err != nil {
		return 0, err
	}
	status := 0
	answers := make([]directory.Answer, len(keys))
	for i, key := range keys {
		if answers[i], err = directory.Ask(target, directory.Split(target, key), s.successors); err != nil {
			return 0, err
		}
		if answers[i].Why != "owned" {
			status = 1
		}
	}
	if s.output == "json" {
		return status, printJSON(out, answers)
	}
	return status, printTable(out, answers)
}

// lines puts the lines of standard input in the place of each -.
func lines(keys []string, in io.Reader) (all []string, err error) {
	for _, key := range keys {
		if key != "-" {
			all = append(all, key)
			continue
		}
		scanner := bufio.NewScanner(in)
		for scanner.Scan() {
			if text := strings.TrimSuffix(scanner.Text(), "\r"); text != "" {
				all = append(all, text)
			}
		}
		if err := scanner.Err(); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no key")
	}
	return all, nil
}
