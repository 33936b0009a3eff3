package check

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const usage = `Usage: sluicectl check FILE|DIRECTORY|- ...

Looks for wrong labels and annotations of Sluice in manifests, as kubectl apply and
the webhook would, without a cluster: of Services, Namespaces, Pods and the pod
templates of workloads; and for mistakes in the ConfigMaps that Services name with
sluice.mesh/shard-lookup, where both are there. Of a directory, all .yaml, .yml and
.json files below it are read; - is standard input. All other objects are passed over.

    sluicectl check manifests/
    kubectl get services,configmaps -A -o yaml | sluicectl check -

The exit status is 0 where nothing is wrong, 1 where something is (it is printed,
a line each), and 2 where something could not be read.
`

// Run is the command. It answers the exit status.
func Run(args []string, in io.Reader, out, problems io.Writer) int {
	flags := flag.NewFlagSet("sluicectl check", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	for _, a := range args {
		if a == "--help" || a == "-help" || a == "-h" {
			flags.SetOutput(out)
		}
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() == 0 {
		flags.Usage()
		return 2
	}

	status := 0
	var all Tally
	var tables Tables
	wrong := 0
	tell := func(findings []Finding) {
		for _, f := range findings {
			fmt.Fprintln(out, f)
		}
		wrong += len(findings)
	}
	look := func(name string, data []byte, err error) {
		var findings []Finding
		var tally Tally
		if err == nil {
			findings, tally, err = File(name, data, &tables)
		}
		if err != nil {
			fmt.Fprintln(problems, "sluicectl check:", err)
			status = 2
			return
		}
		tell(findings)
		all.Objects += tally.Objects
		all.Ours += tally.Ours
	}
	for _, arg := range flags.Args() {
		if arg == "-" {
			data, err := io.ReadAll(in)
			look("standard input", data, err)
			continue
		}
		names, err := files(arg)
		if err != nil {
			look(arg, nil, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			look(name, data, err)
		}
	}
	tell(tables.Findings())
	fmt.Fprintf(out, "%d objects, of which %d have labels or annotations of Sluice; %d problems\n", all.Objects, all.Ours, wrong)
	if wrong > 0 && status == 0 {
		status = 1
	}
	return status
}

// files answers the manifests at a path, which may be a directory.
func files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var names []string
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			names = append(names, name)
		}
		return err
	})
	return names, err
}
