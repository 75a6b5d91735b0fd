"""Errors planted into alerts, scalers and scraping."""

import pytest

from deployment import monitoring
from deployment.manifests import Installation, render, secrets_of
from deployment.monitoring import Metrics
from deployment.planting import Plant, Planted, alert, found_after, needs_kubectl, spec

pytestmark = needs_kubectl

MONITORING: Planted = [
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_feed_forked_total[10m]) > 0"),
        "alert ImcLogLost queries imc_feed_forked_total, which no process exposes",
    ),
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr='rate(imc_gateways{job="projector"}[1m]) > 0'),
        "alert ImcLogLost queries imc_gateways, which projector does not expose",
    ),
    (
        "production",
        lambda it: alert(it, "ImcCallsFail").update(expr='imc_http_requests_total{code="500"} > 1'),
        "queries the label code of imc_http_requests_total, which does not have it",
    ),
    (
        "production",
        lambda it: alert(it, "ImcGatewaysRefused").update(expr="sum by (gateway) (imc_gateways) > 1"),
        "alert ImcGatewaysRefused groups by gateway, which no series has",
    ),
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_gaps_total) > 0"),
        "is not PromQL",
    ),
    (
        "production",
        lambda it: spec(it, "ScaledObject", "push-node")["triggers"][0]["metadata"].update(
            query="sum(imc_connections)"
        ),
        "ScaledObject push-node queries imc_connections, which no process exposes",
    ),
    (
        "production",
        lambda it: spec(it, "ServiceMonitor", "imc")["endpoints"][0].update(port="web"),
        "at a port that it does not have",
    ),
    (
        "production",
        lambda it: (it.named("Service", "push-node-pods") or {})["metadata"]["labels"].update(
            {"imc/scraped": "true"}
        ),
        "the ServiceMonitor scrapes",
    ),
    (
        "production",
        lambda it: (it.named("Service", "redis-exporter") or {})["metadata"]["labels"].pop("imc/scraped"),
        "the ServiceMonitor scrapes",
    ),
]


@pytest.mark.parametrize(
    ("overlay", "plant", "finding"), MONITORING, ids=[finding for *_, finding in MONITORING]
)
def test_an_expression_without_a_result_is_found(
    overlay: str, plant: Plant, finding: str, metrics: dict[str, Metrics]
):
    found = found_after(overlay, plant, lambda it: monitoring.faults(it, metrics))
    assert any(finding in fault for fault in found), found


def test_a_missing_metric_is_found_in_the_dashboard_too(metrics: dict[str, Metrics]):
    installation = Installation(render("production"), secrets_of("production"))
    fewer = {
        job: Metrics({k: v for k, v in it.series.items() if k != "imc_deliveries_total"})
        for job, it in metrics.items()
    }
    assert [
        fault for fault in monitoring.faults(installation, fewer) if fault.startswith("panel Pushes to")
    ] == ["panel Pushes to gateways a second queries imc_deliveries_total, which no process exposes"]
