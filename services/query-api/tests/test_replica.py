"""Tests queries on a real replica: fresh, stopped, delayed, killed, hung and back."""

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.schema import HEARTBEATS, MESSAGE_VIEW_COLUMNS, MESSAGES, PROJECTIONS
from imc_contracts.views import Message
from imc_query_api.bootstrap import open_query_api
from imc_query_api.queries.listing import Listing
from imc_query_api.queries.selection import Keyset, Owner
from imc_query_api.settings import QueryApiSettings
from imc_service.background import running
from imc_service.database.database import Database, open_database
from imc_service.health import Readiness
from imc_service.settings import load
from imc_testkit import databases
from imc_testkit.processes import run_script
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.replication import PrivateReplica, replicated_mariadb
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

LONG_AGO = EntryId(1_700_000_000_000, 0)
SOON = Cursor("b769eb2c2dc7", EntryId(9_999_999_999_999, 0))


@dataclass
class Pair:
    """A primary, reached through a proxy, and its replica."""

    url: str
    through_proxy: str
    replica_url: str
    replica: PrivateReplica
    proxy: TcpProxy
    database: Database

    async def at_replica(self, *statements: str) -> None:
        """Change the replica alone."""
        await databases.run(self.replica_url, *statements)

    async def send(self, app_id: str, content: str = "text") -> int:
        """Insert a message at the primary."""
        message_id = secrets.randbits(62) + 1
        row = (message_id, app_id, "g", "u", content, LONG_AGO.ms, 0, None, 1, None)
        async with self.database.session() as session:
            await session.execute(
                f"INSERT INTO {MESSAGES} ({', '.join(MESSAGE_VIEW_COLUMNS)}) "
                f"VALUES ({', '.join('?' * len(row))})",
                row,
            )
        return message_id

    async def project(self, app_id: str, entry: EntryId) -> None:
        """Let the primary have the app's log up to ``entry``."""
        async with self.database.session() as session:
            await session.execute(
                f"REPLACE INTO {PROJECTIONS} (app_id, epoch, position) VALUES (?, ?, ?)",
                (app_id, "epoch", entry.column),
            )


@pytest.fixture(scope="module")
async def pair() -> AsyncGenerator[Pair]:
    async with (
        replicated_mariadb() as (primary, replica),
        databases.new_database(primary.url) as url,
        tcp_proxy("127.0.0.1", primary.port) as proxy,
        open_database(url) as database,
    ):
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        parts = urlsplit(url)
        through = parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")).geturl()
        async with running(keep_beating(database)):
            await replica.caught_up()
            yield Pair(url, through, replica.url_of(url), replica, proxy, database)


async def keep_beating(database: Database) -> None:
    async with database.session() as session:
        await session.execute(f"INSERT INTO {HEARTBEATS} VALUES (1, 1)")
    while True:
        async with database.session() as session:
            await session.execute(f"UPDATE {HEARTBEATS} SET beat = beat + 1")
        await asyncio.sleep(0.02)


@pytest.fixture
def started(pair: Pair, serving: Any) -> Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Starts a query-api on both."""

    def start(**variables: str) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return serving(pair.through_proxy, {"IMC_READ_DATABASE_URL": pair.replica_url, **variables})

    return start


@pytest.fixture
async def client(started: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with started() as client:
        yield client


@pytest.fixture
async def marked(pair: Pair, app_id: str) -> int:
    """A message whose content says which of the two it was read from."""
    message_id = await pair.send(app_id, "primary")
    await pair.replica.caught_up()
    await pair.at_replica(f"UPDATE {MESSAGES} SET content = 'replica' WHERE message_id = {message_id}")
    return message_id


class Reader:
    """Reads one message, as a client does."""

    def __init__(self, client: httpx.AsyncClient, app_id: str, message_id: int) -> None:
        self._client = client
        self._asked: dict[str, Any] = {"appId": app_id, "messageId": message_id}

    async def reply(self, **more: Any) -> httpx.Response:
        return await self._client.get("/v1/queries/message", params={**self._asked, **more})

    async def content(self, **more: Any) -> str:
        reply = await self.reply(**more)
        assert reply.status_code == 200, reply.text
        return reply.json()["data"]["content"]

    async def answered_by(self, source: str) -> None:
        """Wait until ``source`` answers."""
        await wait_until(lambda: self._is_from(source), what=f"the {source} to answer")

    async def _is_from(self, source: str) -> bool:
        return await self.content() == source


@pytest.fixture
def reader(client: httpx.AsyncClient, app_id: str, marked: int) -> Reader:
    return Reader(client, app_id, marked)


async def metric(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    text = (await client.get("/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    [value] = [sample.value for sample in samples if (sample.name, sample.labels) == (name, labels)]
    return value


@contextlib.asynccontextmanager
async def stopped(replica: PrivateReplica) -> AsyncGenerator[None]:
    await replica.stop_applying()
    try:
        yield
    finally:
        await replica.go_on_applying()
        await replica.caught_up()


async def test_the_replica_answers_while_it_is_fresh(
    pair: Pair, client: httpx.AsyncClient, reader: Reader
) -> None:
    await reader.answered_by("replica")
    assert await metric(client, "imc_query_reads_total", source="replica") >= 1
    async with stopped(pair.replica):
        await reader.answered_by("primary")
        assert await metric(client, "imc_query_replica_lag_seconds") > 1
        before = await metric(client, "imc_query_reads_total", source="replica")
        for _ in range(5):
            assert await reader.content() == "primary"
        assert await metric(client, "imc_query_reads_total", source="replica") == before
        assert await metric(client, "imc_query_reads_total", source="primary") >= 6
        assert (await client.get("/readyz")).status_code == 200
    await reader.answered_by("replica")
    await wait_until(lambda: _is_less(client, 1), what="the lag to be small again")


async def _is_less(client: httpx.AsyncClient, seconds: float) -> bool:
    return await metric(client, "imc_query_replica_lag_seconds") < seconds


async def test_a_delayed_replica_does_not_answer(pair: Pair, reader: Reader) -> None:
    await reader.answered_by("replica")
    await pair.replica.delay(3600)
    try:
        await reader.answered_by("primary")
    finally:
        await pair.replica.delay(0)
        await pair.replica.caught_up()
    await reader.answered_by("replica")


async def test_recalled_content_is_never_shown_past_the_bound(
    pair: Pair, client: httpx.AsyncClient, reader: Reader, app_id: str, marked: int
) -> None:
    for _ in range(3):
        await reader.answered_by("replica")
        async with stopped(pair.replica):
            async with pair.database.session() as session:
                await session.execute(
                    f"UPDATE {MESSAGES} SET content = '', status = 0 WHERE app_id = ? AND message_id = ?",
                    (app_id, marked),
                )
            recalled, shown = time.monotonic(), 0
            while (begun := time.monotonic()) < recalled + 2.5:
                page = await client.get("/v1/queries/messages", params={"appId": app_id, "groupId": "g"})
                contents = {await reader.content(), page.json()["data"]["messages"][0]["content"]}
                assert contents == {""} or begun < recalled + 1, time.monotonic() - recalled
                shown += contents != {""}
            await databases.run(
                pair.url, f"UPDATE {MESSAGES} SET content = 'primary', status = 1 WHERE message_id = {marked}"
            )
        await pair.at_replica(f"UPDATE {MESSAGES} SET content = 'replica' WHERE message_id = {marked}")


class TestMinCursor:
    async def test_a_state_that_has_the_cursor_answers(self, pair: Pair, reader: Reader, app_id: str) -> None:
        entry = EntryId(LONG_AGO.ms, 5)
        await pair.project(app_id, entry)
        await pair.replica.caught_up()
        await reader.answered_by("replica")
        for cursor in (Cursor("b7", LONG_AGO), Cursor("b7", entry)):
            # Another epoch than the row's: the entry decides.
            await wait_until(lambda cursor=cursor: _is(reader, "replica", minCursor=str(cursor)))
        async with stopped(pair.replica):
            later = Cursor("b7", entry.following)
            await pair.project(app_id, later.entry)
            for _ in range(20):
                assert await reader.content(minCursor=str(later)) == "primary"

    async def test_it_waits_for_the_projection(self, pair: Pair, reader: Reader, app_id: str) -> None:
        waiting = asyncio.create_task(reader.content(minCursor=str(Cursor("b7", LONG_AGO))))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        assert not done
        await pair.project(app_id, LONG_AGO)
        assert await waiting in ("primary", "replica")

    @pytest.mark.parametrize(
        "path", ["messages?groupId=g", "message?messageId=1", "groups?", "notices?groupId=g"]
    )
    async def test_every_query_takes_it(
        self, client: httpx.AsyncClient, pair: Pair, app_id: str, path: str
    ) -> None:
        await pair.project(app_id, LONG_AGO)
        url = f"/v1/queries/{path}&appId={app_id}&minCursor="
        replies = await asyncio.gather(*(client.get(url + str(SOON)) for _ in range(10)))
        for reply in replies:
            assert (reply.status_code, reply.json()["code"]) == (503, 50301), reply.text
            assert "does not have everything up to minCursor yet" in reply.json()["message"]
            assert int(reply.headers["Retry-After"]) >= 1
        found = 404 if path.startswith("message?") else 200
        assert (await client.get(url + str(Cursor("b7", LONG_AGO)))).status_code == found
        assert (await client.get(url)).status_code == found

    async def test_an_app_without_a_position_has_nothing(self, reader: Reader) -> None:
        assert (await reader.reply(minCursor="b7.1-0")).status_code == 503

    async def test_any_state_has_a_cursor_of_a_log_without_entries(self, reader: Reader) -> None:
        assert await reader.content(minCursor="ub7.9999999999999-0") in ("primary", "replica")

    @pytest.mark.parametrize(
        "cursor", ["1-0", "B7.1-0", "b7.1", "b7.1-0 ", "b7.12345678901234-0", "💥", "b7.-1-0"]
    )
    async def test_a_bad_one_is_refused(self, reader: Reader, cursor: str) -> None:
        reply = await reader.reply(minCursor=cursor)
        assert (reply.status_code, reply.json()["code"]) == (400, 40001)
        words = "minCursor is not valid: it must be the cursor of a reply or a push, as it was given"
        assert reply.json()["message"] == words


async def _is(reader: Reader, content: str, **more: Any) -> bool:
    return await reader.content(**more) == content


async def test_a_replica_that_is_killed_costs_no_client_an_answer(pair: Pair, reader: Reader) -> None:
    answers: set[str] = set()

    async def keep_asking() -> None:
        while True:
            answers.add(await reader.content())

    await reader.answered_by("replica")
    asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
    await wait_until(lambda: answers == {"replica"})
    await pair.replica.kill()
    try:
        await wait_until(lambda: "primary" in answers)
        answers.clear()
        await wait_until(lambda: answers == {"primary"})
    finally:
        await pair.replica.start()
    await pair.replica.caught_up()
    await wait_until(lambda: "replica" in answers, what="the replica to answer again")
    assert not any(task.done() for task in asking), "a client got an error"
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


async def test_a_query_does_not_wait_for_a_replica_that_hangs(
    pair: Pair, client: httpx.AsyncClient, reader: Reader
) -> None:
    await reader.answered_by("replica")
    pair.replica.pause()
    try:
        # Some of these are under way at the replica. A query of its own would end after ten seconds.
        async with asyncio.timeout(8):
            assert set(await asyncio.gather(*(reader.content() for _ in range(8)))) == {"primary"}
        assert (await client.get("/readyz")).status_code == 200
    finally:
        pair.replica.resume()
    await reader.answered_by("replica")


async def test_a_long_reply_goes_on_if_the_replica_ends(pair: Pair, app_id: str) -> None:
    content = "é" * 32_000
    sent = [await pair.send(app_id, content) for _ in range(150)]
    await pair.replica.caught_up()
    urls = {"IMC_DATABASE_URL": pair.url, "IMC_READ_DATABASE_URL": pair.replica_url}
    settings, registry = load(QueryApiSettings, {**OFF, **urls}), CollectorRegistry()
    owner, keyset = Owner(app_id, group_id="g"), Keyset(150)

    async def page_of_replica() -> Listing[Message] | None:
        page = await query_api.reads.read(lambda all_: all_.messages.keyset_page(owner, keyset), app_id)
        of_replica = registry.get_sample_value("imc_query_reads_total", {"source": "replica"})
        return page.listing if of_replica else None

    async with open_query_api(settings, Readiness(), registry) as query_api:
        listing = await wait_until(page_of_replica)
        assert listing is not None
        assert 0 < len(listing.items) < 150
        assert listing.rest is not None
        await pair.replica.kill()
        try:
            found = [*listing.items, *[item async for items in listing.rest for item in items]]
        finally:
            await pair.replica.start()
    assert [int(message["messageId"]) for message in found] == sorted(sent)
    assert {message["content"] for message in found} == {content}


class TestReadiness:
    async def test_it_says_why_neither_can_answer(
        self, pair: Pair, client: httpx.AsyncClient, reader: Reader
    ) -> None:
        await reader.answered_by("replica")
        pair.proxy.refuse()
        try:
            # What the replica has can't be proven to be fresh without the primary.
            await wait_until(lambda: _not_ready(client, r"the primary: out of reach .*the replica: .*behind"))
            assert (await reader.reply()).status_code == 503
            async with stopped(pair.replica):
                assert await _not_ready(client, "the primary: out of reach")
        finally:
            await pair.proxy.accept()
        await reader.answered_by("replica")
        assert (await client.get("/readyz")).status_code == 200

    async def test_a_larger_bound_without_the_primary_keeps_queries_answered(
        self, pair: Pair, started: Any, app_id: str, marked: int
    ) -> None:
        async with started(IMC_READ_LAG_WITHOUT_PRIMARY_SECONDS="3600") as client:
            reader = Reader(client, app_id, marked)
            await reader.answered_by("replica")
            pair.proxy.refuse()
            try:
                await wait_until(lambda: _is_more(client, 3), what="the usual bound to be passed")
                assert await reader.content() == "replica"
                assert (await client.get("/readyz")).status_code == 200
            finally:
                await pair.proxy.accept()
            async with stopped(pair.replica):
                await reader.answered_by("primary")


async def _is_more(client: httpx.AsyncClient, seconds: float) -> bool:
    return await metric(client, "imc_query_replica_lag_seconds") > seconds


async def _not_ready(client: httpx.AsyncClient, pattern: str) -> bool:
    reply = await client.get("/readyz")
    return reply.status_code == 503 and any(re.search(pattern, why) for why in reply.json()["reasons"])
