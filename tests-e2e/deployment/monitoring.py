"""Checks the PromQL of alerts, scalers and the dashboard against the metrics of real processes."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

from deployment.manifests import Document, Installation

TARGET_LABELS = {"job", "instance", "namespace", "pod", "service", "endpoint", "container"}
"""Labels that Prometheus and its operator add to every series."""

GRAFANA = {"$__rate_interval": "5m", "$namespace": "imc"}


@dataclass(frozen=True)
class Metrics:
    """The series that a process exposes at ``/metrics``, with their labels."""

    series: dict[str, set[str]]

    @classmethod
    def parse(cls, text: str) -> "Metrics":
        series: dict[str, set[str]] = {}
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
            parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
            series.update({name + part: {"le"} if part == "_bucket" else set() for part in parts})
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series.setdefault(sample.name, set()).update(sample.labels)
        return cls(series)


def queries(installation: Installation) -> Iterator[tuple[str, str]]:
    """Every PromQL expression, with the name of its source."""
    for rule in installation.of("PrometheusRule"):
        for group in rule["spec"]["groups"]:
            yield from ((f"alert {each['alert']}", each["expr"]) for each in group["rules"])
    for scaled in installation.of("ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            yield f"ScaledObject {scaled['metadata']['name']}", trigger["metadata"]["query"]
    for dashboard in dashboards(installation):
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                expression: str = target["expr"]
                for variable, value in GRAFANA.items():
                    expression = expression.replace(variable, value)
                yield f"panel {panel['title']}", expression


def dashboards(installation: Installation) -> list[Document]:
    return [
        json.loads(text)
        for each in installation.of("ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard")
        for text in each["data"].values()
    ]


def faults(installation: Installation, metrics: dict[str, Metrics]) -> Iterator[str]:
    """Find expressions that can't have a result. ``metrics`` are those of each job."""
    for source, expression in queries(installation):
        try:
            parsed = promql_parser.parse(expression)
        except ValueError as error:
            yield f"{source} is not PromQL: {error}"
            continue
        yield from (f"{source} {fault}" for fault in of_expression(parsed, metrics))
    for dashboard in dashboards(installation):
        ids = [panel["id"] for panel in dashboard["panels"]]
        if len(ids) != len(set(ids)):
            yield "two panels of the dashboard have one id"
    for monitor in installation.of("ServiceMonitor"):
        yield from scraped(installation, monitor)


def of_expression(expression: Any, metrics: dict[str, Metrics]) -> Iterator[str]:
    found: list[Any] = []
    promql_parser.walk(expression, lambda node: found.append(node))
    known: set[str] = set(TARGET_LABELS)
    grouping: set[str] = set()
    for node in found:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = node.matchers.matchers
            labels = {matcher.name for matcher in matchers}
            job = next((each.value for each in matchers if each.name == "job"), None)
            has = {"up": set[str]()} if node.name == "up" else _series(metrics, job)
            if node.name not in has:
                missing = f"{job} does not expose" if job else "no process exposes"
                yield f"queries {node.name}, which {missing}"
                continue
            if job is not None and job not in metrics:
                yield f"queries the job {job}, which does not exist"
            known |= has[node.name]
            for label in sorted(labels - has[node.name] - TARGET_LABELS):
                yield f"queries the label {label} of {node.name}, which does not have it"
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouping |= set(node.modifier.labels)
    for label in sorted(grouping - known):
        yield f"groups by {label}, which no series has"


def _series(metrics: dict[str, Metrics], job: str | None) -> dict[str, set[str]]:
    jobs = [metrics[job]] if job in metrics else metrics.values()
    series: dict[str, set[str]] = {}
    for each in jobs:
        for name, labels in each.series.items():
            series[name] = series.get(name, set()) | labels
    return series


def scraped(installation: Installation, monitor: Document) -> Iterator[str]:
    """Check that every process and exporter is scraped, and no pod twice."""
    wanted: dict[str, str] = monitor["spec"]["selector"]["matchLabels"]
    services = [
        each for each in installation.of("Service") if wanted.items() <= each["metadata"]["labels"].items()
    ]
    jobs = [each["metadata"]["labels"].get(monitor["spec"]["jobLabel"]) for each in services]
    permanent = {workload.name for workload, _ in installation.ours if workload.document["kind"] != "Job"}
    permanent |= {exporter.name for exporter in installation.exporters}
    if sorted(jobs, key=str) != sorted(permanent):
        yield f"the ServiceMonitor scrapes {jobs}"
    for endpoint in monitor["spec"]["endpoints"]:
        for service in services:
            if endpoint["port"] not in [port["name"] for port in service["spec"]["ports"]]:
                name = service["metadata"]["name"]
                yield f"the ServiceMonitor scrapes {name} at a port that it does not have"
        if endpoint["path"] != "/metrics":
            yield f"the ServiceMonitor scrapes the path {endpoint['path']}"
