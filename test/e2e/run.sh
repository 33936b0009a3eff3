#!/usr/bin/env bash
# Runs the end-to-end tests: on the cluster of KUBECONFIG with the image SLUICE_IMAGE when both are set, else on a one-node
# Kubernetes that is built (the first time), started and ended here. Arguments go to go test, e.g. -run TestSpread.
#   SLUICE_BOX_IMAGE, SLUICE_GRPC_IMAGE, SLUICE_REDIS_IMAGE, SLUICE_POSTGRES_IMAGE, SLUICE_TOOLS_IMAGE   the test applications elsewhere
#   SLUICE_E2E_KEEP=1   leaves the cluster running
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cluster=test/cluster/cluster
images=(sluice box grpc tools redis postgres)

if [ -z "${KUBECONFIG:-}" ] || [ -z "${SLUICE_IMAGE:-}" ]; then
	[ -z "${KUBECONFIG:-}${SLUICE_IMAGE:-}" ] || { echo "set both KUBECONFIG and SLUICE_IMAGE, or neither" >&2; exit 2; }
	$cluster build
	$cluster image "${images[@]}"
	finish() {
		rc=$?
		[ -n "${SLUICE_E2E_KEEP:-}" ] || $cluster down
		exit $rc
	}
	trap finish EXIT
	$cluster up
	$cluster image "${images[@]}" >/dev/null
	KUBECONFIG=$(realpath "$($cluster kubeconfig)")
	export KUBECONFIG SLUICE_CLUSTER=$PWD/$cluster
fi
go test -tags e2e -count=1 -timeout 40m "$@" ./test/e2e
