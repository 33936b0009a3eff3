package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPythonRunner holds what the runner of unittest modules prints for tests whose end is not simply one of passing and failing.
func TestPythonRunner(t *testing.T) {
	if _, err := os.Stat(python); err != nil {
		t.Skipf("%s is missing", python)
	}
	dir := t.TempDir()
	runner, err := clientFile(dir, "unittests.py")
	if err != nil {
		t.Fatal(err)
	}
	const module = `
import unittest
class A(unittest.TestCase):
    def test_passes(self): pass
    def test_fails(self): self.fail("why")
    def test_skipped(self): self.skipTest("not here")
    def test_a_part_skipped(self):
        with self.subTest(1): self.skipTest("not here")
    def test_a_part_failed_then_one_skipped(self):
        with self.subTest(1): self.fail("why")
        with self.subTest(2): self.skipTest("not here")
    @unittest.expectedFailure
    def test_expected(self): self.fail("as it should")
    @unittest.expectedFailure
    def test_unexpected(self): pass
class B(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise OSError("no server")
    def test_never(self): pass
class C(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("not here")
    def test_never(self): pass
`
	if err := os.WriteFile(filepath.Join(dir, "m.py"), []byte(module), 0o644); err != nil {
		t.Fatal(err)
	}
	p := program{env: []string{"PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1"}, dir: dir}
	cmd := exec.CommandContext(t.Context(), python, runner, "m")
	rs, err := p.readLines(t.Context(), cmd, cmd.Run)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"m.A.test_passes": true, "m.A.test_fails": false, "m.A.test_a_part_skipped": true, "m.A.test_a_part_failed_then_one_skipped": false,
		"m.A.test_expected": true, "m.A.test_unexpected": false, theRun: false}
	got := map[string]bool{}
	for name, v := range rs {
		got[name] = v.ok
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
