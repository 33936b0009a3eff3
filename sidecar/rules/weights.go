package rules

import "github.com/sluice-mesh/sluice/sidecar/balancer"

// parsePolicy reads a policy's name, or one of IPVS's.
func parsePolicy(s string) (string, error) {
	if balancer.Check(s) != nil {
		return "", errNotAllowed
	}
	return balancer.Canonical(s), nil
}

// parseWeights reads a list as package balancer does.
func parseWeights(s string) (string, error) {
	w, err := balancer.ParseWeights(s)
	return string(w), err
}

// WeighsPods says whether pods have their weights themselves, by WeightAnnotation.
func (r *Rules) WeighsPods() bool { return balancer.Weights(r.Weights).EachPod() }
