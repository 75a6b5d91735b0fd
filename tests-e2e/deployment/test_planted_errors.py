"""Errors planted into good manifests, one at a time: each must be found, and be found for what it is."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deployment import edges, monitoring, network, pods, scaling, schemas
from deployment.manifests import KUBECTL, Document, Installation, render, secrets_of
from deployment.monitoring import Told

pytestmark = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl, which renders manifests, is not on the PATH"
)

Plant = Callable[[Installation], object]


def container(installation: Installation, name: str) -> Document:
    """The container of a workload."""
    [found] = [each for each in installation.workloads if each.name == name]
    return found.container


def pod(installation: Installation, name: str) -> Document:
    [found] = [each for each in installation.workloads if each.name == name]
    return found.pod


def variable(installation: Installation, name: str, variable: str) -> dict[str, Any]:
    [found] = [each for each in container(installation, name)["env"] if each["name"] == variable]
    return found


def spec(installation: Installation, kind: str, name: str) -> Any:
    found = installation.named(kind, name)
    assert found is not None
    return found["spec"]


def alert(installation: Installation, name: str) -> dict[str, Any]:
    groups = spec(installation, "PrometheusRule", "imc")["groups"]
    [found] = [rule for group in groups for rule in group["rules"] if rule["alert"] == name]
    return found


def misspell(place: dict[str, Any], right: str, wrong: str) -> None:
    place[wrong] = place.pop(right)


FIELDS: list[tuple[str, Plant, str]] = [
    ("trial", lambda it: misspell(container(it, "redis"), "args", "arg"), "'arg' was unexpected"),
    (
        "trial",
        lambda it: misspell(spec(it, "Job", "migrate"), "backoffLimit", "backOffLimit"),
        "'backOffLimit'",
    ),
    ("trial", lambda it: spec(it, "Deployment", "projector").update(replicas="one"), "'one' is not of type"),
    (
        "production",
        lambda it: misspell(spec(it, "ScaledObject", "projector"), "triggers", "trigger"),
        "'trigger'",
    ),
    ("production", lambda it: spec(it, "ServiceMonitor", "imc")["endpoints"][0].update(pathh="/"), "'pathh'"),
    ("production", lambda it: misspell(alert(it, "ImcLogLost"), "expr", "exp"), "'exp' was unexpected"),
    (
        "production-gateway-api",
        lambda it: spec(it, "HTTPRoute", "imc")["rules"][0].update(backends=[]),
        "'backends' was unexpected",
    ),
]


@pytest.mark.parametrize(("overlay", "plant", "finding"), FIELDS, ids=[finding for _, _, finding in FIELDS])
def test_a_misspelt_field_is_found(overlay: str, plant: Plant, finding: str):
    good = Installation(render(overlay), secrets_of(overlay))
    bad = copy.deepcopy(good)
    plant(bad)
    [changed] = [
        after for before, after in zip(good.documents, bad.documents, strict=True) if before != after
    ]
    found = list(schemas.faults(changed))
    assert any(finding in fault for fault in found), found


CODE: list[tuple[Any, str, Plant, str]] = [
    (pods, "trial", lambda it: variable(it, "push-node", "IMC_QUERY_API_URL").update(name="IMC_QUERY_URL"),
     "push-node is given IMC_QUERY_URL, which it does not read"),
    (pods, "trial", lambda it: container(it, "projector")["env"].pop(0), "IMC_REDIS_URL: is missing"),
    (pods, "trial", lambda it: variable(it, "push-node", "IMC_DRAIN_SECONDS").update(value="soon"),
     "IMC_DRAIN_SECONDS: Input should be a valid number"),
    (pods, "production", lambda it: it.secrets["query-api"].pop("IMC_DATABASE_URL"),
     "query-api reads what is nowhere: 'IMC_DATABASE_URL'"),
    (pods, "production", lambda it: it.secrets["migrate"].update(IMC_REDIS_URL="redis://x"),
     "nobody reads IMC_REDIS_URL of the Secret migrate"),
    (pods, "trial", lambda it: container(it, "projector").update(command=["imc-projectr"]),
     "projector runs a command that no package of ours has"),
    (pods, "trial", lambda it: container(it, "query-api").update(image="imc-push-node:0.1.0"),
     "query-api runs imc-query-api, which its image lacks"),
    (pods, "trial", lambda it: container(it, "query-api").update(image="imc-query-api:0.0.9"),
     "query-api runs another release than this one: 0.0.9"),
    (pods, "trial", lambda it: container(it, "command-api")["ports"][0].update(containerPort=8001),
     "command-api listens on 8000 and shows {'http': 8001}"),
    (pods, "trial", lambda it: container(it, "query-api")["readinessProbe"]["httpGet"].update(path="/ready"),
     "query-api is asked /ready by its readiness probe, and not /readyz"),
    (pods, "trial", lambda it: pod(it, "push-node").update(terminationGracePeriodSeconds=50),
     "push-node is killed after 50 s, and may need 50 s to end"),
    (pods, "trial", lambda it: container(it, "projector")["securityContext"].pop("readOnlyRootFilesystem"),
     "projector can write to its image"),
    (pods, "trial", lambda it: pod(it, "mariadb").pop("automountServiceAccountToken"),
     "mariadb gets a token of the API server"),
    (network, "trial", lambda it: variable(it, "push-node", "IMC_COMMAND_API_URL").update(value="http://command-api:8001"),
     "push-node can't reach command-api at 0"),
    (network, "trial", lambda it: [
        spec(it, "NetworkPolicy", "to-redis").update(podSelector={}),
        spec(it, "NetworkPolicy", "into-redis")["ingress"][0].update({"from": [{"podSelector": {}}]}),
    ],
     "query-api may reach redis at 6379, for no reason"),
    (network, "trial", lambda it: spec(it, "NetworkPolicy", "from-push-node").update(ingress=[]),
     "push-node can't reach query-api at 8000"),
    (network, "production", lambda it: spec(it, "NetworkPolicy", "to-database")["egress"][0]["ports"][0].update(port=3307),
     "projector can't reach outside at 3306"),
    (network, "trial", lambda it: it.documents.remove(it.named("NetworkPolicy", "deny-all") or {}),
     "nothing denies what no policy allows"),
    (network, "trial", lambda it: spec(it, "Service", "query-api")["ports"][0].update(targetPort="web"),
     "Service query-api leads to a port that query-api does not have: web"),
    (network, "trial", lambda it: spec(it, "Service", "projector")["selector"].update({"app.kubernetes.io/name": "p"}),
     "Service projector leads to 0 workloads"),
    (edges, "trial", lambda it: variable(it, "push-node", "IMC_ADVERTISE_URL").update(value="ws://push-node:8000"),
     "ws://push-node:8000 does not reach push-node-0"),
    (edges, "production-ingress", lambda it: spec(it, "Ingress", "push-nodes")["rules"][0]["http"]["paths"].pop(),
     "wss://imc.example.com/push/5 does not reach push-node-5"),
    (edges, "production-gateway-api", lambda it: spec(it, "HTTPRoute", "push-nodes").update(hostnames=["x.example.com"]),
     "wss://imc.example.com/push/0 does not reach push-node-0"),
    (edges, "production-ingress", lambda it: spec(it, "Ingress", "imc")["rules"][0]["http"]["paths"].pop(0),
     "/chat/message/create does not reach command-api"),
    (edges, "production-ingress", lambda it: spec(it, "Ingress", "imc")["rules"][0]["http"]["paths"].append(
        {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "query-api", "port": {"name": "http"}}}}),
     "/internal/log/changes can be reached from outside"),
    (edges, "production-gateway-api", lambda it: spec(it, "HTTPRoute", "imc")["rules"][0]["backendRefs"][0].update(port=80),
     "leads to command-api at 80, which is nowhere"),
    (scaling, "production", lambda it: spec(it, "HorizontalPodAutoscaler", "query-api")["scaleTargetRef"].update(name="query"),
     "HorizontalPodAutoscaler query-api scales what is not there"),
    (scaling, "production", lambda it: spec(it, "StatefulSet", "push-node").update(replicas=3),
     "push-node has its number said at two places"),
    (scaling, "trial", lambda it: it.documents.remove(it.named("PodDisruptionBudget", "projector") or {}),
     "projector has no budget that keeps all but one of its pods"),
    (monitoring, "production", lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_feed_forked_total[10m]) > 0"),
     "alert ImcLogLost asks for imc_feed_forked_total, which nobody tells"),
    (monitoring, "production", lambda it: alert(it, "ImcLogLost").update(expr='rate(imc_gateways{job="projector"}[1m]) > 0'),
     "alert ImcLogLost asks for imc_gateways, which projector does not tell"),
    (monitoring, "production", lambda it: alert(it, "ImcCallsFail").update(expr='imc_http_requests_total{code="500"} > 1'),
     "asks for code of imc_http_requests_total, which it does not bear"),
    (monitoring, "production", lambda it: alert(it, "ImcGatewaysRefused").update(expr="sum by (gateway) (imc_gateways) > 1"),
     "alert ImcGatewaysRefused groups by gateway, which nothing bears"),
    (monitoring, "production", lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_gaps_total) > 0"), "is no PromQL"),
    (monitoring, "production",
     lambda it: spec(it, "ScaledObject", "push-node")["triggers"][0]["metadata"].update(query="sum(imc_connections)"),
     "ScaledObject push-node asks for imc_connections, which nobody tells"),
    (monitoring, "production", lambda it: spec(it, "ServiceMonitor", "imc")["endpoints"][0].update(port="web"),
     "at a port that it does not have"),
    (monitoring, "production", lambda it: (it.named("Service", "push-node-pods") or {})["metadata"]["labels"].update({"imc/scraped": "true"}),
     "the ServiceMonitor scrapes"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "overlay", "plant", "finding"), CODE, ids=[finding for *_, finding in CODE]
)
def test_what_the_code_is_not_is_found(
    check: Any, overlay: str, plant: Plant, finding: str, told: dict[str, Told]
):
    installation = Installation(render(overlay), secrets_of(overlay))
    more = [told] if check is monitoring else []
    before = set(check.faults(installation, *more))
    plant(installation)
    found = set(check.faults(installation, *more)) - before
    assert any(finding in fault for fault in found), found


def test_a_metric_that_is_gone_is_found_in_the_dashboard_too(told: dict[str, Told]):
    installation = Installation(render("production"), secrets_of("production"))
    fewer = {
        job: Told({k: v for k, v in it.series.items() if k != "imc_deliveries_total"})
        for job, it in told.items()
    }
    assert [
        "panel Pushes to gateways a second asks for imc_deliveries_total, which nobody tells"
    ] == [fault for fault in monitoring.faults(installation, fewer) if fault.startswith("panel Pushes to")]
