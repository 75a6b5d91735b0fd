"""Tests that the trial does its work on a real node, in containers that may do no more than they need."""

import re
from collections.abc import AsyncGenerator

import httpx
import pytest
from deployment.code import ROOT
from imc_testkit.child import Child, free_port
from imc_testkit.waiting import wait_until

from cluster.installations import PROCESSES, Installation

SERVICES = "/api/v1/namespaces/imc/services"
MESSAGE = {"appId": "demo", "groupId": "lobby", "userId": "ann", "content": "hello"}


@pytest.fixture
async def forwarded(trial: Installation) -> AsyncGenerator[str]:
    """The URL of command-api, as the last line of the README forwards to it, at a port that is free."""
    readme = (ROOT / "deploy/k8s/README.md").read_text()
    [line] = re.findall(r"^(kubectl .*port-forward .*) 8001:8000$", readme, re.MULTILINE)
    port = free_port()
    child = Child(["sh", "-euc", f"exec {line} {port}:8000"], trial.cluster.environment)
    child.spawn()

    def is_forwarded() -> bool:
        assert child.exit_code is None, child.log
        return "Forwarding from 127.0.0.1" in child.log

    try:
        await wait_until(is_forwarded, what="the port to be forwarded")
        yield f"http://127.0.0.1:{port}"
    finally:
        await child.close()


async def test_a_command_that_is_forwarded_can_be_queried(trial: Installation, forwarded: str):
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        reply = (await client.post(f"{forwarded}/v1/commands/send-message", json=MESSAGE)).json()
    assert reply["success"], reply
    query = "v1/queries/messages?appId=demo&groupId=lobby"

    async def is_stored() -> bool:
        page = await trial.cluster.text(f"{SERVICES}/query-api:8000/proxy/{query}")
        return reply["data"]["messageId"] in page

    await wait_until(is_stored, what="the message to be stored")


async def test_exporters_reach_their_servers(trial: Installation):
    for exporter, figure in (("redis-exporter:9121", "redis_up 1"), ("mysqld-exporter:9104", "mysql_up 1")):

        async def tells(exporter: str = exporter, figure: str = figure) -> bool:
            return figure in (await trial.cluster.text(f"{SERVICES}/{exporter}/proxy/metrics")).splitlines()

        await wait_until(tells, what=f"{exporter} to tell {figure}")


@pytest.mark.parametrize("process", PROCESSES)
async def test_a_container_has_given_up_what_it_does_not_need(trial: Installation, process: str):
    kind = "statefulset" if process == "push-node" else "deployment"
    inside = f"kubectl -n imc exec {kind}/{process} --"
    status = dict(
        re.findall(r"^(\w+):\s*(.*)$", await trial.type(f"{inside} cat /proc/1/status"), re.MULTILINE)
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert (int(status["CapEff"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, "1", "2")
    await trial.type(f"{inside} touch /tmp/file")
    assert "Read-only file system" in await trial.refused(f"{inside} touch /imc/file")
    assert "serviceaccount" not in await trial.type(f"{inside} cat /proc/mounts")
