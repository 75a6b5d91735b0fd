"""Checks what pods run, with which settings and rights, against the code."""

from collections.abc import Iterator

from imc_command_api.migrations.settings import MigrateSettings
from imc_command_api.settings import CommandApiSettings
from imc_push_node.cluster.drain import SETTLE_SECONDS
from imc_service import health
from imc_service.health import Readiness
from imc_service.http.server import SHUTDOWN_SECONDS
from imc_service.settings import SettingsError
from prometheus_client import CollectorRegistry

from deployment.code import Process, paths_of, project
from deployment.manifests import Installation, Workload

DEFAULT_GRACE_SECONDS = 30


def faults(installation: Installation) -> Iterator[str]:
    """Find faults in the pods of all workloads."""
    for workload in installation.workloads:
        yield from (f"{workload.name} {fault}" for fault in rights(workload))
        if workload.process is None and workload.image is not None:
            yield f"{workload.name} runs a command that no package has"
    for workload, process in installation.ours:
        checks = [image, environment, secrets, probes]
        if not list(environment(installation, workload, process)):
            checks += [ports, termination]  # these need valid settings
        for check in checks:
            yield from (f"{workload.name} {fault}" for fault in check(installation, workload, process))
    used = {reference for workload in installation.workloads for reference in secret_references(workload)}
    for name, values in installation.secrets.items():
        yield from (
            f"no process reads {key} of the Secret {name}" for key in values if (name, key) not in used
        )


def rights(workload: Workload) -> Iterator[str]:
    """Check the Pod Security Standard *restricted*, and a few more rules."""
    pod, container = workload.pod.get("securityContext", {}), workload.container.get("securityContext", {})
    if workload.pod.get("automountServiceAccountToken") is not False:
        yield "gets a token of the API server"
    if workload.pod.get("enableServiceLinks") is not False:
        yield "gets variables made from Services"
    if not pod.get("runAsNonRoot") or not pod.get("runAsUser"):
        yield "may run as root"
    if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "may make any system call"
    if container.get("allowPrivilegeEscalation") is not False or container.get("capabilities") != {
        "drop": ["ALL"]
    }:
        yield "has capabilities"
    if not container.get("readOnlyRootFilesystem"):
        yield "can write to its image"
    if not {"requests", "limits"} <= set(workload.container.get("resources", {})):
        yield "asks for no resources"


def image(_: Installation, workload: Workload, process: Process) -> Iterator[str]:
    if workload.image is None:
        yield f"has an unknown image: {workload.container['image']}"
        return
    if workload.image["package"] != process.package:
        yield f"runs {process.script}, which its image lacks"
    version = str(project(process.package)["version"])
    if workload.image["tag"] != version:
        yield f"runs another version: {workload.image['tag']}"
    is_job, name = workload.document["kind"] == "Job", workload.document["metadata"]["name"]
    if is_job and name != f"{workload.name}-{version.replace('.', '-')}":
        yield "can't be applied beside the Job of another version"
    if process.script not in project(process.package)["scripts"]:
        yield f"runs {process.script}, which is no script of its package"


def environment(installation: Installation, workload: Workload, process: Process) -> Iterator[str]:
    try:
        found = installation.environment(workload)
    except KeyError as error:
        yield f"refers to a variable that does not exist: {error}"
        return
    try:
        installation.settings(workload, process.settings)
    except SettingsError as error:
        yield str(error)
    for entry in workload.container["env"]:
        field = entry.get("valueFrom", {}).get("fieldRef")
        if field is not None and "apiVersion" not in field:
            name = entry["name"]
            yield f"leaves a field to the API server that two ways of applying disagree about: {name}"
    given = {name for name in found if name.startswith("IMC_")} - set(installation.image)
    for name in sorted(given - set(process.settings.variables())):
        yield f"is given {name}, which it does not read"


def secrets(_: Installation, workload: Workload, __: Process) -> Iterator[str]:
    for name, key in secret_references(workload):
        if name != workload.name:
            yield f"reads the Secret of another workload: {name}"
        if f"'{key}'" not in str([entry["name"] for entry in workload.container["env"]]):
            yield f"puts {key} into a variable of another name"
    for entry in workload.container.get("env", []):
        if "@" in entry.get("value", "") or ("SECRET" in entry["name"] and "value" in entry):
            yield f"shows a secret in {entry['name']}"


def secret_references(workload: Workload) -> set[tuple[str, str]]:
    """The names and keys of Secrets that a workload reads, as variables or files."""
    sources = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in workload.container.get("env", [])]
    files = [volume["secret"] for volume in workload.pod.get("volumes", []) if "secret" in volume]
    return {(source["name"], source["key"]) for source in sources if source} | {
        (file["secretName"], item["key"]) for file in files for item in file["items"]
    }


def ports(installation: Installation, workload: Workload, process: Process) -> Iterator[str]:
    if process.settings is MigrateSettings:
        if workload.ports:
            yield "has a port, but does not listen"
        return
    listens = int(installation.environment(workload)["IMC_PORT"])
    if workload.ports != {"http": listens}:
        yield f"listens on {listens}, but has the ports {workload.ports}"


def probes(_: Installation, workload: Workload, process: Process) -> Iterator[str]:
    if process.settings is MigrateSettings:
        return
    known = paths_of(health.routes(Readiness(), CollectorRegistry()))
    # Sends go on while the database is away: whoever routes to a command-api leaves out what writes to it.
    ready = "/readyz?exclude=write-through" if process.settings is CommandApiSettings else "/readyz"
    for kind, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", ready)):
        probe = workload.container.get(f"{kind}Probe")
        if probe is None:
            yield f"has no {kind} probe"
        elif probe["httpGet"]["path"].partition("?")[0] not in known or probe["httpGet"]["path"] != path:
            yield f"has a {kind} probe of {probe['httpGet']['path']} instead of {path}"
        elif probe["httpGet"]["port"] not in workload.ports:
            yield f"has a {kind} probe at a port that it does not have"
    if (workload.container.get("readinessProbe") or {}).get("timeoutSeconds", 1) <= health.CHECK_SECONDS:
        yield "may take longer for its readiness check than the probe waits"


def termination(installation: Installation, workload: Workload, _: Process) -> Iterator[str]:
    given = installation.environment(workload)
    needed = SHUTDOWN_SECONDS + float(given.get("IMC_DRAIN_DELAY_SECONDS", 0))
    if "IMC_DRAIN_SECONDS" in given:
        needed += float(given["IMC_DRAIN_SECONDS"]) + SETTLE_SECONDS
    grace = workload.pod.get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    if grace <= needed:
        yield f"is killed after {grace} s, and may need {needed:g} s to end"
