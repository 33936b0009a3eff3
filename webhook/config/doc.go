// Package config holds the nouns of the webhook: the names it gives to what it adds to pods, the settings of an injected
// pod, and the annotations that change them. It decides which of pod, namespace and the webhook's own configuration
// wins, and refuses what it does not understand; it opens nothing.
//
// Every setting of an injected pod has three homes under one name, the first of which that is set wins:
//
//	annotation sluice.mesh/NAME on the pod
//	annotation sluice.mesh/NAME on its namespace
//	flag --inject-NAME of the webhook, environment SLUICE_INJECT_NAME
//
// All functions are safe for concurrent use; Settings are values that share no state once made.
package config
