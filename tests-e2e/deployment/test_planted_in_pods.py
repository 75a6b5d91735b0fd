"""Errors planted into fields of documents and into pods."""

import copy

import pytest

from deployment import pods, schemas
from deployment.manifests import Installation, render, secrets_of
from deployment.planting import (
    Plant,
    Planted,
    alert,
    container,
    found_after,
    misspell,
    needs_kubectl,
    pod,
    spec,
    variable,
)

pytestmark = needs_kubectl

FIELDS: Planted = [
    ("trial", lambda it: misspell(container(it, "redis"), "args", "arg"), "'arg' was unexpected"),
    (
        "trial",
        lambda it: misspell(it.of("Job")[0]["spec"], "backoffLimit", "backOffLimit"),
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


PODS: Planted = [
    (
        "trial",
        lambda it: it.of("Job")[0]["metadata"].update(name="migrate"),
        "migrate can't be applied beside the Job of another version",
    ),
    (
        "trial",
        lambda it: variable(it, "push-node", "POD_NAME")["valueFrom"]["fieldRef"].pop("apiVersion"),
        "push-node leaves a field to the API server that two ways of applying disagree about: POD_NAME",
    ),
    (
        "trial",
        lambda it: variable(it, "push-node", "IMC_QUERY_API_URL").update(name="IMC_QUERY_URL"),
        "push-node is given IMC_QUERY_URL, which it does not read",
    ),
    ("trial", lambda it: container(it, "projector")["env"].pop(0), "IMC_REDIS_URL: is missing"),
    (
        "trial",
        lambda it: variable(it, "push-node", "IMC_DRAIN_SECONDS").update(value="soon"),
        "IMC_DRAIN_SECONDS: Input should be a valid number",
    ),
    (
        "production",
        lambda it: it.secrets["query-api"].pop("IMC_DATABASE_URL"),
        "query-api refers to a variable that does not exist: 'IMC_DATABASE_URL'",
    ),
    (
        "production",
        lambda it: it.secrets["migrate"].update(IMC_REDIS_URL="redis://x"),
        "no process reads IMC_REDIS_URL of the Secret migrate",
    ),
    (
        "trial",
        lambda it: container(it, "projector").update(command=["imc-projectr"]),
        "projector runs a command that no package has",
    ),
    (
        "trial",
        lambda it: container(it, "query-api").update(image="imc-push-node:0.1.0"),
        "query-api runs imc-query-api, which its image lacks",
    ),
    (
        "trial",
        lambda it: container(it, "query-api").update(image="imc-query-api:0.0.9"),
        "query-api runs another version: 0.0.9",
    ),
    (
        "trial",
        lambda it: container(it, "command-api")["ports"][0].update(containerPort=8001),
        "command-api listens on 8000, but has the ports {'http': 8001}",
    ),
    (
        "trial",
        lambda it: container(it, "query-api")["readinessProbe"]["httpGet"].update(path="/ready"),
        "query-api has a readiness probe of /ready instead of /readyz",
    ),
    (
        "trial",
        lambda it: pod(it, "push-node").update(terminationGracePeriodSeconds=50),
        "push-node is killed after 50 s, and may need 50 s to end",
    ),
    (
        "trial",
        lambda it: container(it, "projector")["securityContext"].pop("readOnlyRootFilesystem"),
        "projector can write to its image",
    ),
    (
        "trial",
        lambda it: pod(it, "mariadb").pop("automountServiceAccountToken"),
        "mariadb gets a token of the API server",
    ),
    (
        "production-read-replica",
        lambda it: it.secrets["query-api"].pop("IMC_READ_DATABASE_URL"),
        "query-api refers to a variable that does not exist: 'IMC_READ_DATABASE_URL'",
    ),
]


@pytest.mark.parametrize(("overlay", "plant", "finding"), PODS, ids=[finding for *_, finding in PODS])
def test_an_error_in_a_pod_is_found(overlay: str, plant: Plant, finding: str):
    found = found_after(overlay, plant, pods.faults)
    assert any(finding in fault for fault in found), found
