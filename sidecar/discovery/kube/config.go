package kube

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// DefaultCredentials is where a pod has its service account's token and the API server's CA.
const DefaultCredentials = "/var/run/secrets/kubernetes.io/serviceaccount"

// Config answers how to reach the API server: by the kubeconfig file given, else by those that the environment variable
// KUBECONFIG names, else as a pod does, with the files token and ca.crt of the directory credentials ("" is
// DefaultCredentials). Token and CA are read again when they are renewed.
func Config(kubeconfig, credentials string) (*rest.Config, error) {
	if kubeconfig != "" || os.Getenv(clientcmd.RecommendedConfigPathEnvVar) != "" {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = kubeconfig
		config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
		return config, nil
	}
	if credentials == "" {
		credentials = DefaultCredentials
	}
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("no way to the API server: neither a kubeconfig is given (--kubeconfig, KUBECONFIG) nor are " +
			"KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT set, as they are in a pod")
	}
	config := &rest.Config{
		Host:            "https://" + net.JoinHostPort(host, port),
		BearerTokenFile: filepath.Join(credentials, "token"),
		TLSClientConfig: rest.TLSClientConfig{CAFile: filepath.Join(credentials, "ca.crt")},
	}
	for _, file := range []string{config.BearerTokenFile, config.CAFile} {
		if _, err := os.Stat(file); err != nil {
			return nil, fmt.Errorf("the pod's credentials for the API server: %w", err)
		}
	}
	return config, nil
}
