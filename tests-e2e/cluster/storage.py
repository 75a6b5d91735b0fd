"""Where pods of a test keep their data."""

from typing import Any

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kubernetes.io/no-provisioner",
}
"""The default: it has the volumes that a test makes."""


def volume(number: int, source: dict[str, Any]) -> dict[str, Any]:
    """A volume of the default class. ``source`` says where it is."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"volume-{number}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "standard",
            **source,
        },
    }
