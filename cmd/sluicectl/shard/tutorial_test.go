package shard

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands of the tutorial say")

// TestTutorial: what docs/shard-affinity.md shows in "Without a cluster" is what its commands say.
func TestTutorial(t *testing.T) {
	const file, from, to = "../../../docs/shard-affinity.md", "### Without a cluster\n", "\n### "
	const indent, prompt = "    ", "    $ "
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), from)
	page, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("no %q, or nothing behind it", from)
	}

	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	bin, work := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "sluicectl"), "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := root
	sh := func(command string) string {
		// A cd lasts, as at a prompt.
		cmd := exec.Command("sh", "-c", strings.ReplaceAll(command, "/tmp/orders", work+"/orders")+`; pwd >"$PWD_FILE"`)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PWD_FILE="+filepath.Join(bin, "pwd"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		now, err := os.ReadFile(filepath.Join(bin, "pwd"))
		if err != nil {
			t.Fatal(err)
		}
		dir = strings.TrimSpace(string(now))
		return string(out)
	}

	var want strings.Builder
	output := false // the line before was a command's, or its output
	for line := range strings.Lines(page) {
		if output && strings.HasPrefix(line, indent) && !strings.HasPrefix(line, prompt) || output && line == "\n" && strings.HasSuffix(want.String(), "\n\n") {
			continue
		}
		want.WriteString(line)
		command, is := strings.CutPrefix(line, prompt)
		if output = is; is {
			for said := range strings.Lines(sh(strings.TrimSpace(command))) {
				if said = strings.TrimRight(said, " \n"); said != "" {
					want.WriteString(indent + said + "\n")
				}
			}
		}
	}
	if now := before + from + want.String() + to + after; now != string(text) {
		if *update {
			if err := os.WriteFile(file, []byte(now), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("%s: the commands say something else (make golden writes it):\n%s", file, want.String())
	}
}
