"""A projector on a Redis Cluster: each master's apps are projected, whatever becomes of the others."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_command_api.handlers.ports import Appended, Write
from imc_command_api.log.script import AppendScript, Limits
from imc_command_api.quota.metrics import SendQuotaMetrics
from imc_command_api.quota.send_quota import SendQuota
from imc_contracts import names
from imc_contracts.events import Event
from imc_contracts.policies import Policies
from imc_service.redis import masters as redis_masters
from imc_testkit.redis_cluster import PrivateCluster, private_cluster
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry

APPS = 24


@pytest.fixture(scope="module")
async def cluster() -> AsyncGenerator[PrivateCluster]:
    async with private_cluster() as cluster:
        yield cluster


class Sender:
    """Sends to apps as command-api does, and knows how many messages each has got."""

    def __init__(self, masters: redis_masters.Masters, app_id: str, history_of: Any) -> None:
        quota = SendQuota(Policies(), SendQuotaMetrics(CollectorRegistry()))
        self._script = AppendScript(masters, Limits(10**9, lambda: 60_000, 60_000), quota)
        self.app_ids = [f"{app_id}-{number}" for number in range(APPS)]
        self._histories = {app_id: history_of(app_id) for app_id in self.app_ids}
        self.sent = dict.fromkeys(self.app_ids, 0)

    async def send(self, app_id: str) -> None:
        history = self._histories[app_id]
        message = history.message()
        entry = history.sent(message).entry
        write = Write(Event(entry.kind, entry.body), int(message["messageId"]))
        [outcome] = await self._script.run(app_id, [write])
        assert isinstance(outcome, Appended)
        self.sent[app_id] += 1


@pytest.fixture
async def sender(cluster: PrivateCluster, app_id: str, history_of: Any) -> AsyncGenerator[Sender]:
    async with contextlib.aclosing(redis_masters.connect(cluster.url)) as masters:
        yield Sender(masters, app_id, history_of)


async def test_a_master_that_hangs_stops_its_own_apps_alone(
    cluster: PrivateCluster, sender: Sender, projecting: Any, mariadb: Any, tables_of: Any
):
    tables = tables_of(mariadb)

    async def are_stored(app_ids: list[str]) -> bool:
        return [await tables.count(app) for app in app_ids] == [sender.sent[app] for app in app_ids]

    async with projecting(redis_url=cluster.url):
        for app_id in sender.app_ids:
            await sender.send(app_id)
        await wait_until(lambda: are_stored(sender.app_ids), 60)
        hung = await cluster.master_of(names.log(sender.app_ids[0]))
        others = [app for app in sender.app_ids if await cluster.master_of(names.log(app)) is not hung]
        assert 0 < len(others) < APPS
        hung.pause()
        try:
            for app_id in others:
                await sender.send(app_id)
            await wait_until(lambda: are_stored(others), 60)
        finally:
            hung.resume()
        await cluster.healthy()
        for app_id in others:
            await sender.send(app_id)
        await wait_until(lambda: are_stored(sender.app_ids), 60)
    for app_id in sender.app_ids:
        assert (await tables.groups(app_id))["g"][0] == sender.sent[app_id]
