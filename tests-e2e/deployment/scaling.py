"""Checks the number of pods, disruption budgets and spread constraints."""

from collections.abc import Iterator

from imc_contracts.names import SHARDS

from deployment.manifests import Installation, Workload


def faults(installation: Installation) -> Iterator[str]:
    """Find scalers, budgets and constraints that are missing or have no target."""
    permanent = [workload for workload, _ in installation.ours if workload.document["kind"] != "Job"]
    names = {(each.document["kind"], each.name) for each in permanent}
    for scaler in installation.of("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            yield f"{scaler['kind']} {scaler['metadata']['name']} has no target"
    for workload in permanent:
        yield from (f"{workload.name} {fault}" for fault in of_one(installation, workload))
        if workload.name == "projector" and installation.max_replicas(workload) > SHARDS:
            yield f"projector has pods that can own none of the {SHARDS} shards"


def of_one(installation: Installation, workload: Workload) -> Iterator[str]:
    own = {"app.kubernetes.io/name": workload.name}
    budgets = [
        each["spec"]
        for each in installation.of("PodDisruptionBudget")
        if each["spec"]["selector"]["matchLabels"] == own
    ]
    if [budget.get("maxUnavailable") for budget in budgets] != [1]:
        yield "has no PodDisruptionBudget with maxUnavailable 1"
    spreads = workload.pod.get("topologySpreadConstraints", [])
    if {each["topologyKey"] for each in spreads if each["labelSelector"]["matchLabels"] == own} != {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }:
        yield "is not spread over zones and nodes"
    if not own.items() <= workload.document["metadata"]["labels"].items():
        yield "can't be selected by its name"
    if (
        not own.items() <= workload.labels.items()
        or workload.document["spec"]["selector"]["matchLabels"] != own
    ):
        yield "does not select its own pods"
    if workload.pod.get("serviceAccountName") != workload.name or not installation.named(
        "ServiceAccount", workload.name
    ):
        yield "has no ServiceAccount with its name"
    scalers = [
        each["spec"]
        for each in installation.of("HorizontalPodAutoscaler", "ScaledObject")
        if each["spec"]["scaleTargetRef"]["name"] == workload.name
    ]
    if len(scalers) > 1 or (scalers and "replicas" in workload.document["spec"]):
        yield "has its number of pods defined twice"


def min_replicas(installation: Installation, workload: Workload) -> int:
    """The minimum number of pods."""
    for scaler in installation.of("HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == workload.name:
            spec: dict[str, int] = scaler["spec"]
            return spec.get("minReplicaCount") or spec["minReplicas"]
    return workload.document["spec"].get("replicas", 1)
