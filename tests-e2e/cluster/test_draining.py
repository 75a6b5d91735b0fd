"""Tests that a node can be drained, one pod of each process at a time."""

import asyncio

from cluster.installations import PROCESSES, Installation, typed


async def test_a_node_is_drained_and_no_process_lacks_two_pods(installation: Installation):
    await installation.install("production")
    [node, *_] = [pod["spec"]["nodeName"] for pod in await installation.pods("push-node")]
    drain = typed("drain-a-node", "kubectl drain NODE").replace("NODE", node)
    assert "local storage" in await installation.refused(drain.replace("--delete-emptydir-data", ""))
    fewest = dict.fromkeys(PROCESSES, 3)

    async def watch() -> None:
        while True:
            for name, each in (await installation.workloads()).items():
                if name in fewest:
                    fewest[name] = min(fewest[name], each["status"].get("readyReplicas", 0))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    await installation.type(drain)
    watching.cancel()
    assert min(fewest.values()) >= 2
    assert [pod for pod in await installation.pods() if pod["spec"]["nodeName"] == node] == []
    await installation.rolled_out()


async def test_a_second_pod_of_a_process_is_not_evicted_at_once(installation: Installation):
    await installation.install("production")
    for process in PROCESSES:
        first, second, _ = [pod["metadata"]["name"] for pod in await installation.pods(process)]
        async with installation.cluster.client() as client:
            replies = [
                await client.post(
                    f"/api/v1/namespaces/imc/pods/{name}/eviction",
                    json={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}},
                )
                for name in (first, second)
            ]
        assert [reply.status_code for reply in replies] == [201, 429]
