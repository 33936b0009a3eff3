#!/usr/bin/env bash
# cluster verify: tries on the running cluster what the end-to-end tests want
# of it, and prints PASS or FAIL for each; ends with 1 when something failed.
# SLUICE_CLUSTER_KEEP=1 leaves the pods there.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
need_root verify
init_pid >/dev/null || die "verify: no cluster in $state (start it with: $here/cluster up)"
"$here/cluster" image box iptables || exit
work=$state/verify
ns=cluster-verify
rm -rf "$work"
mkdir -p "$work"
box=$checkout/bin/box/box
k() { kubectl -n $ns "$@"; }

failed=0 last=${EPOCHREALTIME/./}
# check WHAT COMMAND...
check() {
	local what=$1 rc=0
	shift
	"$@" >"$work/out" 2>&1 || rc=$?
	if [ $rc = 0 ]; then
		awk -v what="$what" -v us=$((${EPOCHREALTIME/./} - last)) 'BEGIN{printf "PASS  %-64s %5.1f s\n", what, us/1e6}'
	else
		echo "FAIL  $what"
		tail -15 "$work/out" | sed 's/^/      /'
		failed=$((failed + 1))
	fi
	last=${EPOCHREALTIME/./}
}
# soon SECONDS COMMAND...: again and again until it succeeds
soon() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}
hook_pid=
cleanup() {
	[ -z "$hook_pid" ] || kill "$hook_pid" 2>/dev/null
	kubectl delete mutatingwebhookconfiguration verify-url verify-service --ignore-not-found >/dev/null 2>&1
	[ ! -e "$state/stopped/kube-apiserver" ] || "$here/cluster" start-apiserver
	[ -n "${SLUICE_CLUSTER_KEEP:-}" ] || kubectl delete namespace $ns $ns-restricted --ignore-not-found --timeout=60s >/dev/null 2>&1
	rm -rf "$work"
}
trap cleanup EXIT
kubectl delete namespace $ns $ns-restricted --ignore-not-found --timeout=60s >/dev/null 2>&1
kubectl create namespace $ns >/dev/null || exit
k label namespace $ns verify=yes >/dev/null # the webhooks select by it
k create -f "$here/verify.yaml" >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
in_client() { k exec client -- box "$@"; }

check "the node is Ready" kubectl wait --for=condition=Ready "node/$node" --timeout=10s
up() { k rollout status deployment/echo --timeout=60s && k wait --for=condition=Ready pod/client --timeout=30s; }
check "a Deployment's 3 pods run" up
ready_endpoints() {
	[ "$(k get endpointslices -l kubernetes.io/service-name=echo \
		-o jsonpath='{.items[*].endpoints[?(@.conditions.ready==true)].addresses[0]}' | wc -w)" = "$1" ]
}
check "their EndpointSlice lists 3 ready" soon 10 ready_endpoints 3
check "the API tells the Services' addresses" eval "kubectl get servicecidr kubernetes -o jsonpath='{.spec.cidrs[0]}' | grep -Fx $service_cidr"

cluster_ip=$(k get service echo -o jsonpath='{.spec.clusterIP}')
spread() { # spread PODS COMMAND...: a load that this many pods answer
	local pods=$1
	shift
	"$@" load --requests 60 --strict "${flags[@]}" | tee "$work/load" || return
	[ "$(grep -o '"pods":{[^}]*}' "$work/load" | grep -o '"echo-[^"]*":' | wc -l)" = "$pods" ]
}
flags=(--url "http://$cluster_ip/" --keep-alive=false)
check "ClusterIP from a pod reaches all 3 ($proxy_mode)" spread 3 in_client
check "ClusterIP from this machine does too" spread 3 "$box"
flags=(--url "http://$node_ip:30080/" --keep-alive=false)
check "NodePort from this machine does too" spread 3 "$box"
flags=(--url http://echo/ --concurrency 1)
check "one kept connection stays on one pod" spread 1 in_client
flags=(--url http://echo/ --h2c)
check "one HTTP/2 connection stays on one pod" spread 1 in_client
pod=$(k get pods -l app=echo -o jsonpath='{.items[0].metadata.name}')
hairpin() { k exec "$pod" -- box load --url "http://$cluster_ip/" --keep-alive=false --requests 60 --strict | grep "\"$pod\":"; }
check "a pod reaches itself through its own Service" hairpin
check "TCP through a Service: the server speaks first, half-close" in_client tcp --banner echo:9000
check "TLS through a Service: SNI and certificate" eval "in_client tls --servername a.box.test echo:443 | grep '\"serverName\\\\\":\\\\\"a.box.test'"
check "WebSocket through a Service" in_client ws http://echo/ws

check "DNS: full name" in_client get http://echo.$ns.svc.cluster.local/
headless() { [ "$(k exec client -- nslookup -type=a echo-headless.$ns.svc.cluster.local | grep -c "^Address: ${pod_cidr%.*}")" = 3 ]; }
check "DNS: a headless name has 3 addresses" headless
check "DNS: an unknown name fails at once" eval "! timeout 2 '$bin/kubectl' --kubeconfig '$kubeconfig' -n $ns exec client -- box get http://no-such-name.example"

for kind in nft legacy; do
	redirected() {
		k wait --for=condition=Ready "pod/redirect-$kind" --timeout=30s &&
			k exec "redirect-$kind" -c app -- box get --expect '"pod":"proxy"' http://echo/ &&
			k exec "redirect-$kind" -c proxy -- box get --expect '"pod":"echo-' http://echo/
	}
	check "REDIRECT by an init container with NET_ADMIN (iptables-$kind)" redirected
done
check "\"in-pod\" sees the rules" eval "'$here/cluster' in-pod $ns/redirect-nft iptables-nft -t nat -S OUTPUT | grep REDIRECT"

"$here/cluster" certificate webhook "$host_ip" "webhook.$ns.svc" >/dev/null
"$box" webhook --addr "$host_ip:9443" --cert "$state/pki/webhook.crt" --key "$state/pki/webhook.key" >"$work/webhook.log" 2>&1 &
hook_pid=$!
hook() { # hook NAME CLIENTCONFIG
	k create -f - <<-Y >/dev/null
		apiVersion: admissionregistration.k8s.io/v1
		kind: MutatingWebhookConfiguration
		metadata: {name: verify-$1}
		webhooks:
		- name: $1.box.test
		  clientConfig: {$2, caBundle: $(base64 -w0 <"$state/pki/ca.crt")}
		  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
		  namespaceSelector: {matchLabels: {verify: "yes"}}
		  objectSelector: {matchLabels: {hook: "$1"}}
		  sideEffects: None
		  admissionReviewVersions: [v1]
		  failurePolicy: Fail
		  timeoutSeconds: 5
	Y
}
# A new configuration is seen by the API server after a moment.
changed() {
	k run "hook-$1" --image "$registry/box:1" --labels "hook=$1" --restart Never --dry-run=server \
		-o jsonpath='{.metadata.annotations}' | grep -F '"box.test/mutated":"yes"'
}
hook url "url: 'https://$host_ip:9443/mutate'"
check "the API server reaches a webhook on this machine" soon 20 changed url
k create secret tls webhook --cert "$state/pki/webhook.crt" --key "$state/pki/webhook.key" >/dev/null
k wait --for=condition=Ready pod/webhook --timeout=30s >/dev/null
hook service "service: {namespace: $ns, name: webhook, path: /mutate}"
check "the API server reaches a webhook in a pod" soon 20 changed service
kill "$hook_pid"
wait "$hook_pid" 2>/dev/null
hook_pid=
check "failurePolicy Fail refuses pods when the webhook is gone" eval "! changed url"

check "a native sidecar starts first, and its Job completes" k wait --for=condition=Complete job/sidecar --timeout=60s

unready() { k exec "$pod" -- box get 'http://127.0.0.1:8081/readyz?set=false' && soon 10 ready_endpoints 2; }
check "a pod that is not ready leaves the EndpointSlice" unready
again() { k exec "$pod" -- box get 'http://127.0.0.1:8081/readyz?set=true' && soon 10 ready_endpoints 3; }
check "and comes back" again
restarts() { [ "$(k get pod "$pod" -o jsonpath='{.status.containerStatuses[0].restartCount}')" = 1 ] && ready_endpoints 3; }
killed() { "$here/cluster" kill "$ns/$pod" echo && soon 30 restarts; }
check "a container that is killed with -9 is started again" killed

privileged() { # what Pod Security refuses
	! kubectl -n $ns-restricted run bad --image "$registry/box:1" --dry-run=server 2>"$work/refused" && grep -F "restricted:latest" "$work/refused"
}
kubectl create namespace $ns-restricted >/dev/null
kubectl label namespace $ns-restricted pod-security.kubernetes.io/enforce=restricted >/dev/null
check "Pod Security refuses a pod in a restricted namespace" privileged
kubectl label --overwrite namespace $ns-restricted pod-security.kubernetes.io/enforce=baseline >/dev/null
net_admin() { ! kubectl -n $ns-restricted create --dry-run=server -f "$here/verify.yaml" >"$work/refused" 2>&1 && grep 'baseline.*NET_ADMIN' "$work/refused"; }
check "Pod Security refuses NET_ADMIN in a baseline namespace" net_admin

token=/var/run/secrets/kubernetes.io/serviceaccount/token
check "a pod asks the API with its token" in_client get --token-file $token https://kubernetes.default/version
gone() {
	"$here/cluster" stop-apiserver
	! kubectl get --raw /readyz --request-timeout 2s && "$box" load --url "http://$cluster_ip/" --duration 3s --rate 100 --strict
}
check "with the API server stopped, traffic goes on" gone
back() { "$here/cluster" start-apiserver && kubectl get --raw /readyz && soon 10 k run after --image "$registry/box:1" && k wait --for=condition=Ready pod/after --timeout=30s; }
check "started again, it takes pods" back

echo
if [ $failed != 0 ]; then
	echo "$failed failed"
	exit 1
fi
echo "all passed in $SECONDS s"
