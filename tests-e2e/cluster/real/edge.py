"""The edge of the compose file, as a pod: it leads clients outside the cluster to the services."""

import ipaddress
import re
from typing import Any

from deployment.code import ROOT

from cluster.real.images import EDGE
from cluster.real.node import DOMAIN

NAMESPACE = "edge"
PORT = 8000
_LABELS = {"app.kubernetes.io/name": "edge"}


def configuration(dns: str) -> str:
    """The edge's configuration, with the cluster's DNS server and its names of Services."""
    edge = (ROOT / "deploy/docker/edge.conf").read_text()
    ipaddress.ip_address(dns)
    edge, servers = re.subn(r"^resolver \S+ ", f"resolver {dns} ", edge, flags=re.MULTILINE)
    edge, names = re.subn(r"(http://[a-z-]+(?:\$node)?):8000", rf"\1.imc.svc.{DOMAIN}:8000", edge)
    assert (servers, names) == (1, 4), "the edge's configuration names one DNS server and four services"
    return edge


def manifests(dns: str) -> list[dict[str, Any]]:
    """A namespace whose pods may connect to IMC, with the edge in it."""
    namespace = {"name": NAMESPACE, "labels": {"imc/clients": "true"}}
    container = {
        "name": "edge",
        "image": EDGE,
        "imagePullPolicy": "Never",
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/nginx/conf.d"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": "edge"}}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "edge", "namespace": NAMESPACE},
            "data": {"default.conf": configuration(dns)},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "edge", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "edge", "namespace": NAMESPACE},
            "spec": {"selector": _LABELS, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
        },
    ]
