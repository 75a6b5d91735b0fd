"""Tests the edge of the compose file with a real nginx in front of real processes."""

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from imc_testkit.child import Child, free_port
from imc_testkit.deployment import Deployment
from imc_testkit.gateway import connect
from imc_testkit.programs import search_path
from imc_testkit.tokens import bearer
from imc_testkit.waiting import wait_until

from deployment.code import ROOT, internal_paths, public_paths

NGINX = shutil.which("nginx", path=search_path())
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

TEMPLATE = """\
daemon off;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
    access_log off;
    {paths}
    {edge}
}}
"""


def configuration(folder: Path, port: int, behind: Deployment) -> str:
    """The configuration of the edge, with another port, and addresses instead of names."""
    edge = (ROOT / "deploy/docker/edge.conf").read_text()
    for given, real in {
        "listen 8000": f"listen 127.0.0.1:{port}",
        "command-api:8000": f"127.0.0.1:{behind.command_apis[0].port}",
        "query-api:8000": f"127.0.0.1:{behind.query_apis[0].port}",
        "push-node:8000": f"127.0.0.1:{behind.push_nodes[0].port}",
        "push-node-$node:8000": f"127.0.0.1:{behind.push_nodes[1].port}",
    }.items():
        assert given in edge
        edge = edge.replace(given, real)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return TEMPLATE.format(folder=folder, edge=edge, paths=paths)


@pytest.fixture(scope="module")
async def edge(
    separate_processes: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[httpx.AsyncClient]:
    folder, port = tmp_path_factory.mktemp("edge"), free_port()
    (folder / "nginx.conf").write_text(configuration(folder, port, separate_processes))
    child = Child([str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")], {})
    child.spawn()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

            async def answers() -> bool:
                assert child.exit_code is None, child.log
                try:
                    return (await client.get("/test.html")).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(answers)
            yield client
    finally:
        await child.close()


async def test_each_call_reaches_its_service(edge: httpx.AsyncClient, separate_processes: Deployment):
    behind = {
        "command-api": separate_processes.command_apis[0],
        "query-api": separate_processes.query_apis[0],
        "push-node": separate_processes.push_nodes[0],
    }
    for path, service in public_paths().items():
        for method in ("GET", "POST"):
            through = await edge.request(method, path)
            async with httpx.AsyncClient(base_url=behind[service].url, trust_env=False) as client:
                direct = await client.request(method, path)
            assert (through.status_code, through.json()) == (direct.status_code, direct.json()), path
            assert through.json()["code"] != 40400, path


async def test_internal_paths_can_not_be_reached(edge: httpx.AsyncClient):
    for path in internal_paths() - {"/docs", "/openapi.json"}:
        for prefix in ("", "/push/1"):
            reply = await edge.get(prefix + path)
            assert (reply.status_code, reply.json()["code"], reply.json()["data"]) == (404, 40400, None), path


async def test_a_gateway_reaches_any_node_and_a_pinned_one_its_own(
    edge: httpx.AsyncClient, separate_processes: Deployment, app_id: str
):
    url = str(edge.base_url).rstrip("/")

    async def gateways(node: int) -> float:
        async with httpx.AsyncClient(
            base_url=separate_processes.push_nodes[node].url, trust_env=False
        ) as client:
            [line] = [
                line
                for line in (await client.get("/metrics")).text.splitlines()
                if line.startswith("imc_gateways ")
            ]
        return float(line.split()[1])

    before = await gateways(0), await gateways(1)
    async with connect(url, app_id, "plain", additional_headers=bearer(app_id)):
        assert await gateways(0) == before[0] + 1
        async with connect(
            f"{url}/push/1", app_id, "pinned", notices=True, additional_headers=bearer(app_id)
        ):
            assert await gateways(1) == before[1] + 1
