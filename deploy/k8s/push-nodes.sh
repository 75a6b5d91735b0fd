#!/bin/sh
# Makes what depends on how many push-nodes there may be: a Service and a route for each, and the bound of the scaler.
#   sh deploy/k8s/push-nodes.sh 12
# A push-node beyond that number serves gateways too, but none is pinned to it from outside.
set -eu

count=${1:-}
case $count in
'' | *[!0-9]*) count=0 ;;
esac
if [ "$count" -lt 1 ] || [ "$count" -gt 200 ]; then
    echo "usage: sh push-nodes.sh COUNT, from 1 to 200" >&2
    exit 2
fi
cd "$(dirname "$0")"

# each TEMPLATE: print it for each push-node, with its number for every N@
each() {
    number=0
    while [ "$number" -lt "$count" ]; do
        printf '%s\n' "$1" | sed "s/N@/$number/g"
        number=$((number + 1))
    done
}

{
    cat <<'END'
# One Service for each push-node, for routes from outside that lead to one node: /push/0, /push/1 and so on.
# A Service whose node does not run has no endpoints, and does no harm. Made by push-nodes.sh.
END
    each '---
apiVersion: v1
kind: Service
metadata: { name: push-node-N@, labels: { app.kubernetes.io/name: push-node } }
spec:
  selector: { statefulset.kubernetes.io/pod-name: push-node-N@ }
  ports: [{ name: http, port: 8000, targetPort: http }]' | sed 1d
} >base/push-node-pods.yaml

{
    cat <<'END'
# Pinned gateways: /push/2/v1/gateways/… leads to /v1/gateways/… of push-node-2. Made by push-nodes.sh.
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: push-nodes
  annotations:
    haproxy-ingress.github.io/rewrite-target: /v1/gateways
spec:
  ingressClassName: haproxy
  tls: [{ hosts: [host.invalid], secretName: imc-tls }]
  rules:
    - host: host.invalid
      http:
        paths:
END
    each '          - path: /push/N@/v1/gateways
            pathType: Prefix
            backend: { service: { name: push-node-N@, port: { name: http } } }'
} >components/edge-ingress/push-nodes.yaml

# A route has at most 16 rules, so there is a route for each node.
{
    cat <<'END'
# Pinned gateways: /push/2/v1/gateways/… leads to /v1/gateways/… of push-node-2. Made by push-nodes.sh.
END
    each '---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: push-node-N@ }
spec:
  parentRefs: [{ name: edge, namespace: edge, sectionName: https }]
  hostnames: [host.invalid]
  rules:
    - matches:
        - path: { type: PathPrefix, value: /push/N@/v1/gateways }
      filters:
        - type: URLRewrite
          urlRewrite: { path: { type: ReplacePrefixMatch, replacePrefixMatch: /v1/gateways } }
      timeouts: { request: 0s }
      backendRefs: [{ name: push-node-N@, port: 8000 }]' | sed 1d
} >components/edge-gateway-api/push-nodes.yaml

# set_number FILE PATTERN: write the number that follows PATTERN anew
set_number() {
    sed "s/\($2\)[0-9][0-9]*/\1$count/" "$1" >"$1.new"
    mv "$1.new" "$1"
}
set_number components/autoscaling/push-node.yaml 'maxReplicaCount: '
for edge in ingress gateway-api; do
    set_number "components/edge-$edge/kustomization.yaml" 'name: IMC_ROUTED_NODES, value: "'
done
