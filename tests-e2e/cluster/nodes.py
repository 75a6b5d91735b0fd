"""Nodes that are made up: what a kubelet tells the API server, without a container that runs."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import httpx

Object = dict[str, Any]

LEASE_SECONDS = 5.0
LOOK_SECONDS = 0.2
MERGE = {"Content-Type": "application/merge-patch+json"}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class MadeUpNodes:
    """Nodes of 4 cores and 16 GiB in three zones, on which every container starts at once and is ready.

    A pod whose Secrets, ConfigMaps or labels are missing does not start. Pods of a Job succeed.
    """

    def __init__(self, client: httpx.AsyncClient, names: list[str]) -> None:
        self._client = client
        self._names = names
        self._addresses = IPv4Network("10.244.0.0/16").hosts()

    async def run(self) -> None:
        """Register the nodes, and do the work of their kubelets until cancelled."""
        for number, name in enumerate(self._names):
            await self._register(name, f"zone-{number % 3}")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew())
            group.create_task(self._look())

    async def _register(self, name: str, zone: str) -> None:
        labels = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": zone,
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        await self._post("/api/v1/nodes", node)
        await self._post(LEASES, self._lease(name))
        size = {"cpu": "4", "memory": "16Gi", "pods": "110"}
        status = {"capacity": size, "allocatable": size, "conditions": [_condition("Ready")]}
        await self._patch(f"/api/v1/nodes/{name}/status", {"status": status})

    def _lease(self, name: str) -> Object:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now},
        }

    async def _renew(self) -> None:
        while True:
            for name in self._names:
                await self._patch(f"{LEASES}/{name}", {"spec": self._lease(name)["spec"]})
            await asyncio.sleep(LEASE_SECONDS)

    async def _look(self) -> None:
        while True:
            pods: list[Object] = (await self._client.get("/api/v1/pods")).raise_for_status().json()["items"]
            for pod in pods:
                if pod["spec"].get("nodeName") in self._names:
                    await self._care_for(pod)
            await asyncio.sleep(LOOK_SECONDS)

    async def _care_for(self, pod: Object) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            now = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
            await self._client.request("DELETE", path, json=now)
        elif pod["status"]["phase"] == "Pending":
            missing = [each async for each in self._missing(pod)]
            status = _waiting(pod, missing) if missing else _started(pod, str(next(self._addresses)))
            await self._patch(f"{path}/status", {"status": status})

    async def _missing(self, pod: Object):
        """What the kubelet would look for in vain."""
        kinds = {"secretKeyRef": ("secrets", "data"), "configMapKeyRef": ("configmaps", "data")}
        for kind, reference in _references(pod):
            if kind == "fieldRef":
                label = reference["fieldPath"].removeprefix("metadata.labels['").removesuffix("']")
                is_label = label != reference["fieldPath"]
                if is_label and label not in pod["metadata"].get("labels", {}):
                    yield f"label {label}"
            elif kind in kinds and not reference.get("optional"):
                folder, field = kinds[kind]
                where = f"/api/v1/namespaces/{pod['metadata']['namespace']}/{folder}/{reference['name']}"
                reply = await self._client.get(where)
                if reply.status_code != 200 or reference["key"] not in reply.json().get(field, {}):
                    yield f"{reference['key']} of {folder}/{reference['name']}"

    async def _post(self, path: str, body: Object) -> None:
        (await self._client.post(path, json=body)).raise_for_status()

    async def _patch(self, path: str, body: Object) -> None:
        reply = await self._client.patch(path, json=body, headers=MERGE)
        # What is gone meanwhile needs no care.
        if reply.status_code not in (404, 409):
            reply.raise_for_status()


def _references(pod: Object) -> Iterator[tuple[str, Object]]:
    for container in pod["spec"]["containers"]:
        for entry in container.get("env", []):
            yield from entry.get("valueFrom", {}).items()
    for volume in pod["spec"].get("volumes", []):
        if "secret" in volume:
            for item in volume["secret"].get("items", []):
                yield "secretKeyRef", {"name": volume["secret"]["secretName"], "key": item["key"]}


def _condition(kind: str, status: str = "True") -> Object:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": now,
        "lastHeartbeatTime": now,
        "reason": "MadeUp",
    }


def _pod_condition(kind: str) -> Object:
    condition = _condition(kind)
    del condition["lastHeartbeatTime"]
    return condition


def _started(pod: Object, address: str) -> Object:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    ends = pod["spec"].get("restartPolicy") != "Always"
    state = (
        {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
        if ends
        else {"running": {"startedAt": now}}
    )
    kinds = (
        ("PodScheduled", "Initialized")
        if ends
        else ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    )
    return {
        "phase": "Succeeded" if ends else "Running",
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [_pod_condition(kind) for kind in kinds],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "restartCount": 0,
                "ready": not ends,
                "started": not ends,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ],
    }


def _waiting(pod: Object, missing: list[str]) -> Object:
    state = {"waiting": {"reason": "CreateContainerConfigError", "message": ", ".join(missing)}}
    return {
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "restartCount": 0,
                "ready": False,
                "state": state,
            }
            for container in pod["spec"]["containers"]
        ]
    }
