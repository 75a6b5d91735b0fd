"""Plants errors into valid manifests, one at a time, for tests that each error is found."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deployment.manifests import KUBECTL, Document, Installation, render, secrets_of

Plant = Callable[[Installation], object]
Planted = list[tuple[str, Plant, str]]
"""Tuples of the overlay, the change that plants the error, and a part of the expected finding."""

needs_kubectl = pytest.mark.skipif(
    KUBECTL is None, reason="kubectl, which renders manifests, is not on the PATH"
)


def found_after(overlay: str, plant: Plant, check: Callable[[Installation], Iterator[str]]) -> set[str]:
    """The findings of ``check`` in an overlay that are new after the error is planted."""
    installation = Installation(render(overlay), secrets_of(overlay))
    before = set(check(installation))
    plant(installation)
    return set(check(installation)) - before


def container(installation: Installation, name: str) -> Document:
    """The container of a workload."""
    [found] = [each for each in installation.workloads if each.name == name]
    return found.container


def pod(installation: Installation, name: str) -> Document:
    [found] = [each for each in installation.workloads if each.name == name]
    return found.pod


def variable(installation: Installation, name: str, variable: str) -> dict[str, Any]:
    [found] = [each for each in container(installation, name)["env"] if each["name"] == variable]
    return found


def spec(installation: Installation, kind: str, name: str) -> Any:
    found = installation.named(kind, name)
    assert found is not None
    return found["spec"]


def alert(installation: Installation, name: str) -> dict[str, Any]:
    groups = spec(installation, "PrometheusRule", "imc")["groups"]
    [found] = [rule for group in groups for rule in group["rules"] if rule["alert"] == name]
    return found


def misspell(place: dict[str, Any], right: str, wrong: str) -> None:
    place[wrong] = place.pop(right)
