// Package certs makes, renews and publishes the webhook's certificates, so that no admission request ever fails for
// them: at every moment each API server trusts every certificate that any replica serves.
//
// The leader keeps the state in a Secret: a certificate authority (CA) that signs, perhaps the next one, former ones,
// and one serving certificate (leaf) that all replicas serve as soon as their watch tells them. API servers trust the
// caBundle of the webhook configurations, which is always all CAs of the Secret. A CA is replaced in steps:
//
//	next CA made       Secret: current + next            caBundle: current + next
//	next CA trusted    it was in every caBundle for the settle time: API servers have seen it
//	next CA current    leaf of the new CA                caBundle: former + current
//	former CA dropped  its last leaf has expired         caBundle: current
//
// A rotation can be asked for, with the annotation RotateAnnotation on the Secret, whose value does not matter; it is
// taken off when the rotation has begun. Deleting the Secret does the same: the CAs in the caBundles stay trusted, and
// replicas go on serving the leaf they have until there is a new one.
//
//	kubectl -n sluice-system annotate secret sluice-webhook-certs sluice.mesh/rotate=now
//
// Decide is the rule, a pure function. Controller applies it, on the leader only; Server serves the leaf, on every
// replica. (github.com/open-policy-agent/cert-controller replaces the CA and the leaf in one step, so that for a moment
// API servers reject what replicas serve.)
package certs
