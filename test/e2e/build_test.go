//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// buildProgram builds one of the programs for use on the node, and answers its path.
func buildProgram(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/"+name)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// rotateCertificate asks for a new serving certificate, as webhook/README.md says.
func rotateCertificate(t *testing.T) {
	t.Helper()
	kube(t, "-n", system, "annotate", "secret", "sluice-webhook-certs", "--overwrite", "sluice.mesh/rotate=now")
}
