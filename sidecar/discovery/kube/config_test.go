package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	kubeconfig := func(name, server string) string {
		return file(name, `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
			"clusters": [{"name": "c", "cluster": {"server": "`+server+`"}}], "contexts": [{"name": "c", "context": {"cluster": "c"}}]}`)
	}
	given, fromEnv := kubeconfig("given", "https://given:1"), kubeconfig("env", "https://env:2")
	pod := filepath.Dir(file("pod/token", "secret"))
	file("pod/ca.crt", "certificate")
	noCA := filepath.Dir(file("noca/token", "secret"))

	for _, c := range []struct {
		name                    string
		kubeconfig, credentials string
		env                     map[string]string
		want                    string // the host, or a part of the error
	}{
		{"the file given goes first", given, pod, map[string]string{"KUBECONFIG": fromEnv, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "https://given:1"},
		{"then the environment's", "", pod, map[string]string{"KUBECONFIG": fromEnv, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, "https://env:2"},
		{"then the pod's own", "", pod, map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}, "https://10.96.0.1:443"},
		{"also over IPv6", "", pod, map[string]string{"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, "https://[fd00::1]:443"},
		{"no way at all", "", pod, nil, "neither a kubeconfig is given (--kubeconfig, KUBECONFIG) nor are KUBERNETES_SERVICE_HOST"},
		{"a file that is not there", filepath.Join(dir, "missing"), pod, nil, "missing"},
		{"a pod without a CA", "", noCA, map[string]string{"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}, "ca.crt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, name := range []string{"KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} {
				t.Setenv(name, c.env[name])
			}
			config, err := Config(c.kubeconfig, c.credentials)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = config.Host
			}
			if !strings.Contains(got, c.want) || (err == nil) != strings.HasPrefix(c.want, "https://") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if err == nil && strings.Contains(c.name, "pod") && config.BearerTokenFile != filepath.Join(pod, "token") {
				t.Errorf("token file %q: it has to be read again when it is renewed", config.BearerTokenFile)
			}
		})
	}
}
