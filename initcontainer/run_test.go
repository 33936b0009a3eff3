package initcontainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/sluice-mesh/sluice/initcontainer/config"
)

func TestExitStatusAndOutputTellWhatHappened(t *testing.T) {
	for name, c := range map[string]struct {
		args   string
		env    []string
		status int
		stdout string // words of it; "" for none at all
		log    string // likewise
	}{
		"help goes to standard output":            {"--help", nil, ExitDone, "--redirect-cidrs=", ""},
		"no settings":                             {"", nil, ExitSettings, "", "--redirect-cidrs is needed"},
		"a wrong flag":                            {"--proxy-port=http", nil, ExitSettings, "", `--proxy-port: \"http\"`},
		"a wrong variable":                        {"", []string{"SLUICE_IPV6=maybe"}, ExitSettings, "", "SLUICE_IPV6"},
		"a dry run prints rules and logs nothing": {dual + "--dry-run", nil, ExitDone, "-A OUTPUT -p tcp -j SLUICE_OUTPUT_A", ""},
		"a dry run of one family":                 {"--redirect-cidrs=10.96.0.0/16 --dry-run", nil, ExitDone, "# IPv6: no rules", ""},
		"a dry run of removing":                   {"--remove --dry-run", nil, ExitDone, "would be removed", ""},
		"the environment alone": {"", []string{"SLUICE_REDIRECT_CIDRS=10.96.0.0/16", "SLUICE_DRY_RUN=true"}, ExitDone,
			"-d 10.96.0.0/16", ""},
	} {
		var stdout, log bytes.Buffer
		status := Run(t.Context(), strings.Fields(c.args), c.env, &stdout, &log)
		if status != c.status {
			t.Errorf("%s: exit status %d, want %d", name, status, c.status)
		}
		for _, o := range []struct{ what, got, want string }{
			{"standard output", stdout.String(), c.stdout}, {"the log", log.String(), c.log},
		} {
			if !strings.Contains(o.got, o.want) || o.want == "" && o.got != "" {
				t.Errorf("%s: %s is %q, want %q in it", name, o.what, o.got, o.want)
			}
		}
		for line := range strings.Lines(log.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: the log has a line that is not JSON: %s", name, line)
			}
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestOutputThatCannotBeWrittenIsAFailure(t *testing.T) {
	var log bytes.Buffer
	if status := Run(t.Context(), []string{"--help"}, nil, fullDisk{}, &log); status != ExitFailed {
		t.Errorf("exit status %d, log %s", status, &log)
	}
}

// What the webhook writes is what the program reads.
func TestArgumentsWrittenFromSettingsAreUnderstood(t *testing.T) {
	c, err := config.Parse(strings.Fields(dual+"--dry-run"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var a, b, log bytes.Buffer
	Run(t.Context(), strings.Fields(dual+"--dry-run"), nil, &a, &log)
	Run(t.Context(), c.Args(), nil, &b, &log)
	if a.Len() == 0 || a.String() != b.String() || log.Len() > 0 {
		t.Errorf("got\n%s\nand\n%s\nlog %s", &a, &b, &log)
	}
}

func TestTheReadmeHasEverySetting(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range config.Default().Args() {
		flag, value, _ := strings.Cut(arg, "=")
		row := "| `" + flag + "` |"
		_, rest, ok := strings.Cut(string(b), row)
		line, _, _ := strings.Cut(rest, "\n")
		if !ok || value != "" && !strings.Contains(line, value) {
			t.Errorf("README.md has no row %q with the default %q", row, value)
		}
	}
}
