// Command sluicectl answers people's questions about Sluice; see --help.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/sluice-mesh/sluice/cmd/sluicectl/check"
	"github.com/sluice-mesh/sluice/cmd/sluicectl/explain"
	"github.com/sluice-mesh/sluice/cmd/sluicectl/shard"
)

// command is one of the things that can be asked. Run answers the exit status: 0 all is well, 1 it is not, 2 it could not be
// found out.
type command struct {
	name, does string
	run        func(args []string, in io.Reader, out, problems io.Writer) int
}

var commands = []command{
	{"check", "look for wrong annotations of Sluice in manifests", check.Run},
	{"explain", "send a request, and say how its answer came about", explain.Run},
	{"shard", "say which pod owns a key", shard.Run},
}

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, in io.Reader, out, problems io.Writer) int {
	if len(args) == 0 {
		usage(problems)
		return 2
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(args[1:], in, out, problems)
		}
	}
	if args[0] == "help" || args[0] == "--help" || args[0] == "-h" || args[0] == "-help" {
		usage(out)
		return 0
	}
	fmt.Fprintf(problems, "sluicectl: there is no %q\n\n", args[0])
	usage(problems)
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: sluicectl COMMAND ...\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.does)
	}
	fmt.Fprint(w, "\nsluicectl COMMAND --help says more.\n")
}
