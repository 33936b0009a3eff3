package inject

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	initconfig "github.com/sluice-mesh/sluice/initcontainer/config"
	"github.com/sluice-mesh/sluice/webhook/config"
)

const (
	// tokenPath is where client libraries look for a pod's API token, and where the ServiceAccount admission plugin mounts
	// the default one unless something is mounted there already.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

	// readyWithin is how many seconds the proxy has before it is started anew.
	readyWithin = 120

	// tokenLifetime is in seconds; the kubelet renews the token when 80 % of it are over.
	tokenLifetime = 3600
)

func initContainer(s *config.Settings, resources corev1.ResourceRequirements) corev1.Container {
	capabilities := []corev1.Capability{"NET_ADMIN", "NET_RAW"}
	if s.Init.IptablesMode == initconfig.ModeNFT { // only the legacy implementation opens a raw socket
		capabilities = capabilities[:1]
	}
	return corev1.Container{
		Name:                     config.InitContainer,
		Image:                    s.Image,
		ImagePullPolicy:          s.ImagePullPolicy,
		Command:                  []string{"/usr/local/bin/initcontainer"},
		Args:                     s.Init.Args(),
		Resources:                resources,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          security(0, capabilities...),
		VolumeMounts: []corev1.VolumeMount{
			{Name: config.InitVolume, MountPath: "/run"},
			// Something has to be mounted at tokenPath, else this container would get the application's API token.
			{Name: config.InitVolume, MountPath: tokenPath, ReadOnly: true},
		},
	}
}

func proxyContainer(s *config.Settings, resources corev1.ResourceRequirements, native bool) corev1.Container {
	c := corev1.Container{
		Name:            config.ProxyContainer,
		Image:           s.Image,
		ImagePullPolicy: s.ImagePullPolicy,
		Command:         []string{"/usr/local/bin/sidecar"},
		Args: []string{
			"--discovery=kube",
			"--proxy-port=" + strconv.Itoa(int(s.Init.ProxyPort)),
			"--health-port=" + strconv.Itoa(int(s.HealthPort)),
			"--admin-port=" + strconv.Itoa(int(s.AdminPort)),
			"--log-level=" + s.LogLevel,
		},
		Env: []corev1.EnvVar{
			fromPod("SLUICE_POD_NAME", "metadata.name"),
			fromPod("SLUICE_POD_NAMESPACE", "metadata.namespace"),
			fromPod("SLUICE_POD_IP", "status.podIP"),
			fromPod("SLUICE_NODE_NAME", "spec.nodeName"),
		},
		Ports: []corev1.ContainerPort{
			{Name: "sluice-metrics", ContainerPort: int32(s.HealthPort), Protocol: corev1.ProtocolTCP}},
		Resources:                resources,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		SecurityContext:          security(int64(s.Init.ProxyUID)),
		VolumeMounts:             []corev1.VolumeMount{{Name: config.TokenVolume, MountPath: tokenPath, ReadOnly: true}},
		StartupProbe:             probe("/readyz", s.HealthPort, 1, 1, readyWithin),
		// A proxy that has not answered for a minute will not recover; one that is merely short of CPU will.
		LivenessProbe: probe("/livez", s.HealthPort, 10, 5, 6),
	}
	if s.Loops > 0 {
		c.Args = append(c.Args, "--loops="+strconv.Itoa(s.Loops))
	}
	if s.MaxConnections > 0 {
		c.Args = append(c.Args, "--max-connections="+strconv.Itoa(s.MaxConnections))
	}
	if s.MaxRequests > 0 {
		c.Args = append(c.Args, "--max-requests="+strconv.Itoa(s.MaxRequests))
	}
	if s.MaxPending > 0 {
		c.Args = append(c.Args, "--max-pending="+strconv.Itoa(s.MaxPending))
	}
	if s.MaxStreams > 0 {
		c.Args = append(c.Args, "--max-streams="+strconv.Itoa(s.MaxStreams))
	}
	if s.PProf {
		c.Args = append(c.Args, "--pprof")
	}
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok {
		// Go collects harder before the kernel kills: a tenth is left to what the collector does not count.
		c.Env = append(c.Env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(limit.Value()/10*9, 10)})
	}
	if native {
		always := corev1.ContainerRestartPolicyAlways
		c.RestartPolicy = &always
		c.Args = append(c.Args, "--termination=native")
		return c
	}
	c.Args = append(c.Args, "--termination=classic")
	// The kubelet starts the next container when this has ended.
	c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{
		"/usr/local/bin/sidecar", "wait", fmt.Sprintf("--health-port=%d", s.HealthPort),
		fmt.Sprintf("--timeout=%ds", readyWithin)}}}}
	return c
}

func security(uid int64, capabilities ...corev1.Capability) *corev1.SecurityContext {
	yes, no, nonRoot := true, false, uid != 0
	return &corev1.SecurityContext{
		RunAsUser: &uid, RunAsGroup: &uid, RunAsNonRoot: &nonRoot,
		Privileged: &no, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: capabilities},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// probe takes seconds, and the number of failures in a row that count.
func probe(path string, port uint16, period, timeout, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromInt32(int32(port)), Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds: period, TimeoutSeconds: timeout, SuccessThreshold: 1, FailureThreshold: failures,
	}
}

func fromPod(name, field string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: field}}}
}

// tokenVolume is what the kubelet mounts by default, but ours, and so there whatever automountServiceAccountToken says.
func tokenVolume() corev1.Volume {
	lifetime, mode := int64(tokenLifetime), int32(0o644)
	return corev1.Volume{Name: config.TokenVolume, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &lifetime}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace",
				FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
		}}}}
}

func initVolume() corev1.Volume {
	size := resource.MustParse("1Mi")
	return corev1.Volume{Name: config.InitVolume, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &size}}}
}
