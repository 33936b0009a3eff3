// Command box is the application of the tests: one static program that serves
// and calls whatever the proxy has to carry. Standard library only.
//
//	box serve             HTTP/1, h2c, TLS and two TCP servers; see serve.go
//	box load --url URL    calls at a rate and sums up; see load.go
//	box get URL...        one call each, with status, headers and body
//	box tcp ADDRESS       one TCP exchange, half-closed
//	box tls ADDRESS       one TLS handshake, with what the server presented
//	box ws URL            a WebSocket echo
//	box webhook           a mutating webhook that annotates pods
//	box sleep [DURATION]  does nothing, until a signal or for a time
//
// Each command has --help. Clients print JSON and end with 1 when they failed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// A command gets a context that ends with SIGINT or SIGTERM.
type command func(ctx context.Context, args []string, out io.Writer) error

var commands = map[string]command{
	"serve": serve, "load": load, "get": get, "tcp": tcpClient, "tls": tlsClient, "ws": wsClient,
	"webhook": webhook, "sleep": sleep,
}

const usage = "usage: box serve|load|get|tcp|tls|ws|webhook|sleep [flags]; each has --help"

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := commands[os.Args[1]](ctx, os.Args[2:], os.Stdout)
	stop()
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	default:
		fmt.Fprintln(os.Stderr, "box "+os.Args[1]+":", err)
		os.Exit(1)
	}
}

// parse reads the flags of one command. Behind them it wants so many arguments,
// or one and more for -1.
func parse(fs *flag.FlagSet, args []string, operands int) error {
	fs.SetOutput(io.Discard) // an error is printed once, by main
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "flags of box %s:\n", fs.Name())
			fs.SetOutput(os.Stderr)
			fs.PrintDefaults()
		}
		return err
	}
	switch n := fs.NArg(); {
	case operands == -1 && n == 0:
		return errors.New("an argument is missing, see --help")
	case operands >= 0 && n != operands:
		return fmt.Errorf("%d arguments %q behind the flags, want %d", n, fs.Args(), operands)
	}
	return nil
}

func printJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// headerFlag collects NAME:VALUE.
type headerFlag []string

func (h *headerFlag) String() string { return strings.Join(*h, ", ") }

func (h *headerFlag) Set(v string) error {
	if name, _, ok := strings.Cut(v, ":"); !ok || strings.TrimSpace(name) == "" {
		return fmt.Errorf("%q: want NAME:VALUE", v)
	}
	*h = append(*h, v)
	return nil
}

// each calls f with every name and value.
func (h headerFlag) each(f func(name, value string)) {
	for _, v := range h {
		name, value, _ := strings.Cut(v, ":")
		f(strings.TrimSpace(name), strings.TrimSpace(value))
	}
}

func sleep(ctx context.Context, args []string, _ io.Writer) error {
	fs := flag.NewFlagSet("sleep", flag.ContinueOnError)
	if err := parse(fs, args, min(len(args), 1)); err != nil {
		return err
	}
	if fs.NArg() == 0 {
		<-ctx.Done()
		return nil
	}
	d, err := time.ParseDuration(fs.Arg(0))
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return nil
}
