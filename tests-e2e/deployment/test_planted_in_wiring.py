"""Errors planted into Services, NetworkPolicies, routes and numbers of pods."""

from typing import Any

import pytest

from deployment import edges, network, scaling
from deployment.manifests import Installation
from deployment.planting import Plant, Planted, found_after, needs_kubectl, spec, variable

pytestmark = needs_kubectl

NETWORK: Planted = [
    (
        "trial",
        lambda it: variable(it, "push-node", "IMC_COMMAND_API_URL").update(value="http://command-api:8001"),
        "push-node can't reach command-api at 0",
    ),
    (
        "trial",
        lambda it: [
            spec(it, "NetworkPolicy", "to-redis").update(podSelector={}),
            spec(it, "NetworkPolicy", "into-redis")["ingress"][0].update({"from": [{"podSelector": {}}]}),
        ],
        "migrate may reach redis at 6379, but does not need to",
    ),
    (
        "trial",
        lambda it: spec(it, "NetworkPolicy", "from-push-node").update(ingress=[]),
        "push-node can't reach query-api at 8000",
    ),
    (
        "production",
        lambda it: spec(it, "NetworkPolicy", "to-database")["egress"][0]["ports"][0].update(port=3307),
        "projector can't reach outside at 3306",
    ),
    (
        "production-redis-sentinel",
        lambda it: it.documents.remove(it.named("NetworkPolicy", "to-sentinels") or {}),
        "push-node can't reach outside at 26379",
    ),
    (
        "production",
        lambda it: spec(it, "NetworkPolicy", "to-redis")["podSelector"]["matchExpressions"][0][
            "values"
        ].remove("redis-exporter"),
        "redis-exporter can't reach outside at 6379",
    ),
    (
        "trial",
        lambda it: it.documents.remove(it.named("NetworkPolicy", "deny-all") or {}),
        "no policy denies connections by default",
    ),
    (
        "trial",
        lambda it: spec(it, "Service", "query-api")["ports"][0].update(targetPort="web"),
        "Service query-api leads to a port that query-api does not have: web",
    ),
    (
        "trial",
        lambda it: spec(it, "Service", "projector")["selector"].update({"app.kubernetes.io/name": "p"}),
        "Service projector leads to 0 workloads",
    ),
]


@pytest.mark.parametrize(("overlay", "plant", "finding"), NETWORK, ids=[finding for *_, finding in NETWORK])
def test_an_error_in_the_network_is_found(overlay: str, plant: Plant, finding: str):
    found = found_after(overlay, plant, network.faults)
    assert any(finding in fault for fault in found), found


def paths_of(installation: Installation) -> list[dict[str, Any]]:
    """The paths of the Ingress, each with the service that it leads to."""
    return spec(installation, "Ingress", "imc")["rules"][0]["http"]["paths"]


def path_of(installation: Installation, path: str) -> dict[str, Any]:
    """The rule for a path."""
    [found] = [each for each in paths_of(installation) if each["path"] == path]
    return found


EDGES: Planted = [
    (
        "trial",
        lambda it: variable(it, "push-node", "IMC_ADVERTISE_URL").update(value="ws://push-node:8000"),
        "ws://push-node:8000 does not reach push-node-0",
    ),
    (
        "production-ingress",
        lambda it: spec(it, "Ingress", "push-nodes")["rules"][0]["http"]["paths"].pop(),
        "wss://imc.example.com/push/5 does not reach push-node-5",
    ),
    (
        "production-gateway-api",
        lambda it: spec(it, "HTTPRoute", "push-node-0").update(hostnames=["x.example.com"]),
        "wss://imc.example.com/push/0 does not reach push-node-0",
    ),
    (
        "production-ingress",
        lambda it: paths_of(it).remove(path_of(it, "/v1/commands")),
        "/v1/commands/send-message does not reach command-api",
    ),
    (
        "production-ingress",
        lambda it: paths_of(it).remove(path_of(it, "/chat/message/broadcast")),
        "/chat/message/broadcast/some-id/some-id does not reach push-node",
    ),
    (
        "production-ingress",
        lambda it: path_of(it, "/chat/message/create").update(pathType="Exact"),
        "/chat/message/create/ does not reach command-api",
    ),
    (
        "production-gateway-api",
        lambda it: spec(it, "HTTPRoute", "imc")["rules"][1]["matches"].pop(),
        "/notice/information/findByGroupId does not reach query-api",
    ),
    (
        "production-gateway-api",
        lambda it: spec(it, "HTTPRoute", "imc")["rules"][0]["matches"].append(
            {"path": {"type": "PathPrefix", "value": "/v2"}}
        ),
        "/v2 is answered by no service",
    ),
    (
        "production-ingress",
        lambda it: paths_of(it).append(
            {
                "path": "/",
                "pathType": "Prefix",
                "backend": {"service": {"name": "query-api", "port": {"name": "http"}}},
            }
        ),
        "/internal/log/changes can be reached from outside",
    ),
    (
        "production-gateway-api",
        lambda it: spec(it, "HTTPRoute", "imc")["rules"][0]["backendRefs"][0].update(port=80),
        "leads to command-api at 80, which does not exist",
    ),
]


@pytest.mark.parametrize(("overlay", "plant", "finding"), EDGES, ids=[finding for *_, finding in EDGES])
def test_a_wrong_route_is_found(overlay: str, plant: Plant, finding: str):
    found = found_after(overlay, plant, edges.faults)
    assert any(finding in fault for fault in found), found


SCALING: Planted = [
    (
        "trial",
        lambda it: (it.named("Deployment", "projector") or {})["metadata"]["labels"].pop(
            "app.kubernetes.io/name"
        ),
        "projector can't be selected by its name",
    ),
    (
        "production",
        lambda it: spec(it, "HorizontalPodAutoscaler", "query-api")["scaleTargetRef"].update(name="query"),
        "HorizontalPodAutoscaler query-api has no target",
    ),
    (
        "production",
        lambda it: spec(it, "StatefulSet", "push-node").update(replicas=3),
        "push-node has its number of pods defined twice",
    ),
    (
        "trial",
        lambda it: it.documents.remove(it.named("PodDisruptionBudget", "projector") or {}),
        "projector has no PodDisruptionBudget with maxUnavailable 1",
    ),
    (
        "production-redis-cluster",
        lambda it: spec(it, "ScaledObject", "projector").update(maxReplicaCount=257),
        "projector has pods that can own none of the 256 shards",
    ),
]


@pytest.mark.parametrize(("overlay", "plant", "finding"), SCALING, ids=[finding for *_, finding in SCALING])
def test_an_error_in_numbers_of_pods_is_found(overlay: str, plant: Plant, finding: str):
    found = found_after(overlay, plant, scaling.faults)
    assert any(finding in fault for fault in found), found
