"""Errors planted into alerts, scalers and what is scraped."""

import pytest

from deployment import monitoring
from deployment.manifests import Installation, render, secrets_of
from deployment.monitoring import Told
from deployment.planting import Plant, Planted, alert, found_after, needs_kubectl, spec

pytestmark = needs_kubectl

MONITORING: Planted = [
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_feed_forked_total[10m]) > 0"),
        "alert ImcLogLost asks for imc_feed_forked_total, which nobody tells",
    ),
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr='rate(imc_gateways{job="projector"}[1m]) > 0'),
        "alert ImcLogLost asks for imc_gateways, which projector does not tell",
    ),
    (
        "production",
        lambda it: alert(it, "ImcCallsFail").update(expr='imc_http_requests_total{code="500"} > 1'),
        "asks for code of imc_http_requests_total, which it does not bear",
    ),
    (
        "production",
        lambda it: alert(it, "ImcGatewaysRefused").update(expr="sum by (gateway) (imc_gateways) > 1"),
        "alert ImcGatewaysRefused groups by gateway, which nothing bears",
    ),
    (
        "production",
        lambda it: alert(it, "ImcLogLost").update(expr="increase(imc_gaps_total) > 0"),
        "is no PromQL",
    ),
    (
        "production",
        lambda it: spec(it, "ScaledObject", "push-node")["triggers"][0]["metadata"].update(
            query="sum(imc_connections)"
        ),
        "ScaledObject push-node asks for imc_connections, which nobody tells",
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
]


@pytest.mark.parametrize(
    ("overlay", "plant", "finding"), MONITORING, ids=[finding for *_, finding in MONITORING]
)
def test_a_question_without_an_answer_is_found(
    overlay: str, plant: Plant, finding: str, told: dict[str, Told]
):
    found = found_after(overlay, plant, lambda it: monitoring.faults(it, told))
    assert any(finding in fault for fault in found), found


def test_a_metric_that_is_gone_is_found_in_the_dashboard_too(told: dict[str, Told]):
    installation = Installation(render("production"), secrets_of("production"))
    fewer = {
        job: Told({k: v for k, v in it.series.items() if k != "imc_deliveries_total"})
        for job, it in told.items()
    }
    assert [
        fault for fault in monitoring.faults(installation, fewer) if fault.startswith("panel Pushes to")
    ] == ["panel Pushes to gateways a second asks for imc_deliveries_total, which nobody tells"]
