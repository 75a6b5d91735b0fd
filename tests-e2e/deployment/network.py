"""Checks Services and NetworkPolicies against the URLs in the settings of the processes."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from deployment.manifests import Document, Installation, Workload

PORTS = {"redis": 6379, "redis+cluster": 6379, "redis+sentinel": 26379, "mysql": 3306, "mariadb": 3306}
OUTSIDE = "outside"
Flow = tuple[str, str, int]
"""A connection: from a workload, to a workload or outside, at a port."""


def faults(installation: Installation) -> Iterator[str]:
    """Find Services without a target, and policies that allow more or less than needed."""
    for service in installation.of("Service"):
        yield from (
            f"Service {service['metadata']['name']} {fault}" for fault in target_faults(installation, service)
        )
    names = {policy["metadata"]["name"] for policy in installation.of("NetworkPolicy")}
    if "deny-all" not in names:
        yield "no policy denies connections by default"
    for workload in installation.workloads:
        policies = [
            each["spec"] for each in installation.of("NetworkPolicy") if _picks(each["spec"], workload)
        ]
        if not any(_allows(policy, "egress", "namespace", 53) for policy in policies):
            yield f"{workload.name} can't resolve names"
    try:
        needed, allowed = set(needs(installation)), set(allows(installation))
    except KeyError:
        return  # missing variables are found by another check
    yield from (f"{a} can't reach {b} at {port}" for a, b, port in sorted(needed - allowed))
    yield from (
        f"{a} may reach {b} at {port}, but does not need to" for a, b, port in sorted(allowed - needed)
    )


def target_faults(installation: Installation, service: Document) -> Iterator[str]:
    """Find what is wrong with the target of a Service."""
    targets = [each for each in installation.workloads if selects(service["spec"]["selector"], each)]
    if len(targets) != 1:
        yield f"leads to {len(targets)} workloads"
    for workload in targets:
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in workload.ports:
                yield f"leads to a port that {workload.name} does not have: {port['targetPort']}"
    for workload in installation.workloads:
        if workload.document["spec"].get("serviceName") == service["metadata"]["name"]:
            is_headless = service["spec"].get("clusterIP") == "None"
            if workload.process is not None and not is_headless:
                yield f"is not headless, so that the pods of {workload.name} have no names"


def selects(selector: dict[str, str], workload: Workload) -> bool:
    """Whether a pod of the workload has these labels."""
    labels = dict(workload.labels)
    if workload.document["kind"] == "StatefulSet":
        # A Service may select a pod that does not exist yet.
        label = "statefulset.kubernetes.io/pod-name"
        if re.fullmatch(rf"{workload.name}-\d+", selector.get(label, "")):
            labels[label] = selector[label]
    return selector.items() <= labels.items()


def needs(installation: Installation) -> Iterator[Flow]:
    """The connections that the settings of each process and exporter need."""
    for workload in [*(workload for workload, _ in installation.ours), *installation.exporters]:
        for name, value in installation.environment(workload).items():
            if not name.endswith(("_URL", "_ADDR", "_ADDRESS")) or name == "IMC_ADVERTISE_URL":
                continue
            for host, port in _addresses(value):
                yield from ((workload.name, *target) for target in _targets(installation, host, port))


def _addresses(value: str) -> Iterator[tuple[str, int]]:
    """The hosts and ports that an address or a URL leads to, which may have several hosts."""
    url = urlsplit(value if "://" in value else f"//{value}")
    scheme = url.scheme.replace("rediss", "redis")
    for each in url.netloc.rpartition("@")[2].split(","):
        host, _, port = each.partition(":")
        yield host, int(port or PORTS[scheme])
        if scheme == "redis+sentinel":
            yield host, PORTS["redis"]  # of the master, which the sentinel names


def _targets(installation: Installation, host: str, port: int) -> Iterator[tuple[str, int]]:
    service = installation.named("Service", host)
    if service is None:
        yield OUTSIDE, port
        return
    [target] = [each["targetPort"] for each in service["spec"]["ports"] if each["port"] == port] or [None]
    for other in installation.workloads:
        if selects(service["spec"]["selector"], other):
            yield other.name, other.ports.get(target or "", 0)


def allows(installation: Installation) -> Iterator[Flow]:
    """The connections that the policies allow, between workloads and to the outside."""
    policies = [policy["spec"] for policy in installation.of("NetworkPolicy")]
    for workload in installation.workloads:
        out = [
            policy for policy in policies if "Egress" in policy["policyTypes"] and _picks(policy, workload)
        ]
        for port in sorted({*PORTS.values()}):
            if any(_allows(policy, "egress", "ipBlock", port) for policy in out):
                yield workload.name, OUTSIDE, port
        for other in installation.workloads:
            into = [
                policy for policy in policies if "Ingress" in policy["policyTypes"] and _picks(policy, other)
            ]
            for name, port in other.ports.items():
                leaves = any(_allows(policy, "egress", other, name) for policy in out)
                if leaves and any(_allows(policy, "ingress", workload, name) for policy in into):
                    yield workload.name, other.name, port


def _allows(policy: Document, direction: str, peer: Workload | str, port: str | int) -> bool:
    rules: Iterable[Document] = policy.get(direction, [])
    return any(
        port in [each["port"] for each in rule["ports"]]
        and any(_is_peer(each, peer) for each in rule["to" if direction == "egress" else "from"])
        for rule in rules
    )


def _is_peer(given: dict[str, Any], peer: Workload | str) -> bool:
    if peer == "ipBlock":
        return "ipBlock" in given
    if peer == "namespace":
        return "namespaceSelector" in given
    return (
        "namespaceSelector" not in given and "podSelector" in given and _matches(given["podSelector"], peer)
    )


def _picks(policy: Document, workload: Workload) -> bool:
    return _matches(policy["podSelector"], workload)


def _matches(selector: Document, workload: Workload | str) -> bool:
    labels = cast("Workload", workload).labels
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def in_cluster_address(installation: Installation, workload: Workload, url: str) -> str | None:
    """The pod of the workload that a cluster-internal URL names, or None."""
    parts = urlsplit(url)
    name = re.fullmatch(
        r"(?P<pod>[a-z0-9-]+)\.(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc", parts.hostname or ""
    )
    if name is None or name["service"] != workload.document["spec"].get("serviceName"):
        return None
    service = installation.named("Service", name["service"])
    is_there = service is not None and parts.port in workload.ports.values()
    return (
        name["pod"] if is_there and name["namespace"] == workload.document["metadata"]["namespace"] else None
    )
