"""Checks that Ingress and HTTPRoute send every public call to its service, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from deployment.code import GATEWAY_PATH, internal_paths, public_paths
from deployment.manifests import Document, Installation, Workload
from deployment.network import in_cluster_address

REWRITE = "haproxy-ingress.github.io/rewrite-target"


@dataclass(frozen=True)
class Route:
    """One route at one host. ``replacement`` replaces the prefix, or is None."""

    host: str
    path: str
    is_prefix: bool
    replacement: str | None
    service: str
    port: str | int

    def matches(self, path: str) -> bool:
        return path == self.path or (self.is_prefix and path.startswith(self.path.rstrip("/") + "/"))

    def rewritten(self, path: str) -> str:
        return path if self.replacement is None else self.replacement + path.removeprefix(self.path)


def routes(installation: Installation) -> list[Route]:
    """All routes, longest paths first, in the order of their precedence."""
    found = [*_of_ingresses(installation), *_of_http_routes(installation)]
    return sorted(found, key=lambda route: len(route.path), reverse=True)


def _of_ingresses(installation: Installation) -> Iterator[Route]:
    for ingress in installation.of("Ingress"):
        replacement = ingress["metadata"].get("annotations", {}).get(REWRITE)
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service: Document = path["backend"]["service"]
                is_prefix, port = path["pathType"] == "Prefix", service["port"]["name"]
                yield Route(rule["host"], path["path"], is_prefix, replacement, service["name"], port)


def _of_http_routes(installation: Installation) -> Iterator[Route]:
    for http_route in installation.of("HTTPRoute"):
        [host] = http_route["spec"]["hostnames"]
        for rule in http_route["spec"]["rules"]:
            [backend] = rule["backendRefs"]
            rewrites = [each["urlRewrite"]["path"]["replacePrefixMatch"] for each in rule.get("filters", [])]
            replacement = rewrites[0] if rewrites else None
            for match in rule["matches"]:
                path, is_prefix = match["path"]["value"], match["path"]["type"] == "PathPrefix"
                yield Route(host, path, is_prefix, replacement, backend["name"], backend["port"])


def faults(installation: Installation) -> Iterator[str]:
    """Find calls and pinned gateways that reach the wrong target."""
    edge = routes(installation)
    for route in edge:
        service = installation.named("Service", route.service)
        ports = [] if service is None else [(each["name"], each["port"]) for each in service["spec"]["ports"]]
        if not any(route.port in port for port in ports):
            yield f"{route.path} leads to {route.service} at {route.port}, which does not exist"
    for host in sorted({route.host for route in edge}):
        yield from calls(edge, host)
    for workload, _ in installation.ours:
        if workload.name == "push-node":
            yield from addresses(installation, workload, edge)


def calls(edge: list[Route], host: str) -> Iterator[str]:
    """Find public paths that don't reach their service, and internal ones that can be reached."""
    public = public_paths()
    for path, service in public.items():
        if _target(edge, host, path) != (service, path):
            yield f"{path} does not reach {service}"
    for path in internal_paths():
        for prefix in ("", "/push/0"):
            if _target(edge, host, prefix + path) is not None:
                yield f"{prefix}{path} can be reached from outside"
    for route in edge:
        if route.replacement is None and not any(map(route.matches, public)):
            yield f"{route.path} is answered by no service"


def addresses(installation: Installation, workload: Workload, edge: list[Route]) -> Iterator[str]:
    """Check that each push-node, up to the maximum number, can be reached at the URL that it advertises."""
    for index in range(installation.max_replicas(workload)):
        try:
            url = installation.environment(workload, index)["IMC_ADVERTISE_URL"]
        except KeyError:
            return  # missing variables are found by another check
        reached = (
            _pod_behind(installation, edge, url) if edge else in_cluster_address(installation, workload, url)
        )
        if reached != f"{workload.name}-{index}":
            yield f"{url} does not reach {workload.name}-{index}"


def _pod_behind(installation: Installation, edge: list[Route], url: str) -> str | None:
    """The pod that a URL at the edge leads to."""
    parts = urlsplit(url)
    target = _target(edge, parts.hostname or "", parts.path + GATEWAY_PATH)
    if target is None or target[1] != GATEWAY_PATH:
        return None
    service = installation.named("Service", target[0])
    return None if service is None else service["spec"]["selector"].get("statefulset.kubernetes.io/pod-name")


def _target(edge: list[Route], host: str, path: str) -> tuple[str, str] | None:
    """The Service that gets a request, and the path in it."""
    route = next((route for route in edge if route.host == host and route.matches(path)), None)
    return None if route is None else (route.service, route.rewritten(path))
