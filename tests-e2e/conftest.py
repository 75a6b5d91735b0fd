"""Installations to test end to end, and a client of them."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, separate, standalone
from imc_testkit.gateway import connect
from imc_testkit.tokens import JWT, bearer
from imc_testkit.waiting import wait_until
from redis_users import filled_in

Reply = dict[str, Any]

DAY = 86_400.0


class Client:
    """An HTTP client that turns to another process of the kind at each call, as behind an ingress."""

    def __init__(self, deployment: Deployment, http: httpx.AsyncClient) -> None:
        self.deployment = deployment
        self.http = http
        self._calls = 0

    async def post(self, path: str, body: Any) -> Reply:
        """A command; the envelope, whatever its status."""
        processes = self.deployment.command_apis
        self._calls += 1
        reply = await self.http.post(processes[self._calls % len(processes)].url + path, json=body)
        return reply.json()

    async def get(self, path: str, **parameters: Any) -> Reply:
        """A query; the envelope, whatever its status."""
        reply = await self.http.get(self.deployment.query_apis[0].url + path, params=parameters)
        return reply.json()

    async def send(self, app_id: str, content: str, **fields: Any) -> Reply:
        """Send a message that must be accepted; its receipt."""
        body = {"appId": app_id, "groupId": "g", "userId": "u", "content": content, **fields}
        reply = await self.post("/v1/commands/send-message", body)
        assert (reply["success"], reply["code"], reply["message"]) == (True, 0, "success"), reply
        return reply["data"]

    async def history(self, app_id: str, group_id: str = "g", *, total: int) -> list[Reply]:
        """The messages of a group, once there are ``total`` of them."""

        async def page() -> Reply | None:
            found = await self.get(
                "/chat/message/findByGroupId", appId=app_id, groupId=group_id, pageSize=500
            )
            return found if found["data"]["total"] == total else None

        found = await wait_until(page, what=f"{total} messages in {group_id}")
        assert found is not None
        return found["data"]["pageMessageList"]

    def gateway(self, app_id: str, gateway_id: str, *, node: int = 0, **options: Any):
        """Connect as a gateway, to one of the push-nodes."""
        nodes = self.deployment.push_nodes
        options.setdefault("additional_headers", bearer(lifetime=DAY))
        return connect(nodes[node % len(nodes)].url, app_id, gateway_id, **options)


@pytest.fixture(scope="session")
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=20, headers=bearer(lifetime=DAY)) as client:
        yield client


@pytest.fixture(scope="session")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the users of the template, for ``--aclfile``; the password of each is its name."""
    path = tmp_path_factory.mktemp("acl") / "users.acl"
    path.write_text(filled_in())
    return path


@pytest.fixture(scope="session")
async def separate_processes(redis_url: str, database_url: str) -> AsyncGenerator[Deployment]:
    async with separate(redis_url, database_url, {**JWT, "IMC_METRICS_BY_APP": "100"}) as deployment:
        yield deployment


@pytest.fixture(scope="session")
async def standalone_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Deployment]:
    async with standalone(tmp_path_factory.mktemp("standalone")) as deployment:
        yield deployment


@pytest.fixture(params=["standalone", "separate"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Both forms in which IMC runs, one without tokens and one with: what holds for one must hold for all."""
    name = "standalone_process" if request.param == "standalone" else "separate_processes"
    return request.getfixturevalue(name)


@pytest.fixture
def client(deployment: Deployment, http: httpx.AsyncClient) -> Client:
    return Client(deployment, http)
