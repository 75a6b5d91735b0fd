"""Validates documents offline and strictly: with schemas of Kubernetes, and own ones for custom resources."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from deployment.manifests import Document

VERSIONS = ("1.32", "1.37")
KINDS = Path(__file__).parent / "kinds"
CUSTOM = {
    ("keda.sh/v1alpha1", "ScaledObject"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
}


def faults(document: Document) -> Iterator[str]:
    """Find what a cluster of any supported version would reject."""
    api, kind, name = document["apiVersion"], document["kind"], document["metadata"]["name"]
    for version in ("custom",) if (api, kind) in CUSTOM else VERSIONS:
        validator = _custom(kind) if version == "custom" else _of_kubernetes(version, api, kind)
        if validator is None:
            yield f"{kind}/{name}: Kubernetes {version} has no {kind} of {api}"
            continue
        for error in validator.iter_errors(document):
            yield f"{kind}/{name} at {error.json_path} ({version}): {error.message}"


@cache
def _custom(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((KINDS / f"{kind.lower()}.json").read_text()))


@cache
def _of_kubernetes(version: str, api: str, kind: str) -> Draft202012Validator | None:
    # The package's own function reads megabytes of definitions again for each document.
    group = re.sub(r"^([^./]*)[^/]*/", r"\1-", api)
    schema = _schema(version, f"{kind.lower()}-{group}.json")
    if schema is None:
        return None
    registry = Resource.from_contents(schema) @ (
        Resource.from_contents(_schema(version, "_definitions.json")) @ Registry()
    )
    return Draft202012Validator(schema, registry=registry)


@cache
def _schema(version: str, name: str) -> Any:
    """A strict schema of the package kubernetes-validate, or None."""
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    file = folder / name
    return json.loads(file.read_text()) if file.is_file() else None
