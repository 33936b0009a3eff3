// Command ociimage writes an OCI image archive (a tar file that "ctr images
// import", podman and skopeo take) from files and directories of this machine.
// It needs no daemon, no network and no base image.
//
//	ociimage -o echo.tar -name cluster.test/echo:1 -add ./echo:/echo -entrypoint /echo -cmd serve
//	ociimage -o more.tar -name cluster.test/more:1 -from echo.tar -add ./more:/more
//
// -from puts the layers of an earlier archive beneath the new one. The same
// input gives the same bytes: times are zero and owners root.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"strings"
)

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// settings are the flags; see main for their meaning.
type settings struct {
	out, name, from      string
	adds, dirs           list
	user, workDir        string
	env, entrypoint, cmd list
}

func main() {
	var s settings
	flag.StringVar(&s.out, "o", "", "archive to write")
	flag.StringVar(&s.name, "name", "", "image name with tag")
	flag.StringVar(&s.from, "from", "", "archive whose layers go beneath")
	flag.StringVar(&s.user, "user", "", "UID[:GID]")
	flag.StringVar(&s.workDir, "workdir", "/", "working directory")
	flag.Var(&s.adds, "add", "SRC:DST, a file or a directory copied as a tree with its symlinks (repeatable)")
	flag.Var(&s.dirs, "mkdir", "empty directory, PATH[:octal mode] (repeatable)")
	flag.Var(&s.env, "env", "NAME=value (repeatable)")
	flag.Var(&s.entrypoint, "entrypoint", "word of the entry point (repeatable)")
	flag.Var(&s.cmd, "cmd", "default argument (repeatable)")
	flag.Parse()
	if err := s.run(); err != nil {
		fmt.Fprintln(os.Stderr, "ociimage:", err)
		os.Exit(1)
	}
}

func (s settings) run() error {
	if s.out == "" || s.name == "" {
		return errors.New("-o and -name are needed")
	}
	if !strings.Contains(path.Base(s.name), ":") {
		return fmt.Errorf("-name %s: has no tag, want NAME:TAG", s.name)
	}
	var layers []blob
	if s.from != "" {
		below, err := readLayers(s.from)
		if err != nil {
			return fmt.Errorf("-from %s: %w", s.from, err)
		}
		layers = below
	}
	top, err := buildLayer(s.dirs, s.adds)
	if err != nil {
		return err
	}
	return s.write(append(layers, top))
}
