package facts

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// nativeSince is the first Kubernetes that has native sidecars switched on (KEP-753).
var nativeSince = version.MajorMinor(1, 29)

// nativeEverywhere is the first one whose kubelets all have them: a kubelet may be three minor versions older than its
// API server (Kubernetes version skew policy).
var nativeEverywhere = version.MajorMinor(1, 32)

// NativeSidecars says whether every node knows native sidecars; false as long as Ready fails.
func (f *Facts) NativeSidecars() bool { return f.native.Load() }

func (f *Facts) findNative(ctx context.Context) error {
	info, err := f.Version.ServerVersion()
	if err != nil {
		return fmt.Errorf("version of the API server: %w", err)
	}
	native, err := native(info.GitVersion, func() ([]string, error) { return f.kubelets(ctx) })
	if err != nil {
		return err
	}
	if f.native.Swap(native) != native || !f.asked.Load() {
		f.Log.Info("native sidecars", "native", native, "version", info.GitVersion)
	}
	f.asked.Store(true)
	return nil
}

// native decides; kubelets is asked only where the API server's version leaves it open.
func native(server string, kubelets func() ([]string, error)) (bool, error) {
	v, err := version.ParseGeneric(server)
	if err != nil {
		return false, fmt.Errorf("version of the API server: %w", err)
	}
	if v.AtLeast(nativeEverywhere) || v.LessThan(nativeSince) {
		return v.AtLeast(nativeEverywhere), nil
	}
	all, err := kubelets()
	if err != nil {
		return false, fmt.Errorf("versions of the kubelets: %w", err)
	}
	for _, kubelet := range all {
		v, err := version.ParseGeneric(kubelet)
		if err != nil {
			return false, fmt.Errorf("version of a kubelet: %w", err)
		}
		if v.LessThan(nativeSince) {
			return false, nil
		}
	}
	return true, nil
}

func (f *Facts) kubelets(ctx context.Context) (versions []string, err error) {
	for next := ""; ; {
		list := &corev1.NodeList{}
		if err := f.Live.List(ctx, list, client.Limit(500), client.Continue(next)); err != nil {
			return nil, err
		}
		for i := range list.Items {
			versions = append(versions, list.Items[i].Status.NodeInfo.KubeletVersion)
		}
		if next = list.Continue; next == "" {
			return versions, nil
		}
	}
}
