package rules

// parseWeights takes anything for now.
func parseWeights(s string) (string, error) { return s, nil }
