package rules

import (
	"testing"

	"github.com/sluice-mesh/sluice/sidecar/balancer"
	"github.com/sluice-mesh/sluice/sidecar/outlier"
	"github.com/sluice-mesh/sluice/sidecar/retry"
)

// TestDefaultsAreOfThoseWhoHonourThem also holds that the structs convert.
func TestDefaultsAreOfThoseWhoHonourThem(t *testing.T) {
	r := Default()
	if got := retry.Settings(r.Retry.Budget); got != retry.Defaults() {
		t.Errorf("retry budget: %+v, want %+v", got, retry.Defaults())
	}
	if got := outlier.Settings(r.Ejection); got != outlier.Defaults() {
		t.Errorf("ejection: %+v, want %+v", got, outlier.Defaults())
	}
	if r.Policy != balancer.Default || float64(r.PanicThreshold)/100 != balancer.DefaultPanicThreshold {
		t.Errorf("balancing: %+v", r)
	}
}
