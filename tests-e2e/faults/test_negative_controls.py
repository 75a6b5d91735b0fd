"""Negative controls: the checker must find each known way to build a process wrongly.

Every scenario runs twice: with the process as it is, which must pass, and with a broken variant of it.
"""

import contextlib
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Start
from imc_testkit.history import Frame
from imc_testkit.load import Load
from imc_testkit.processes import Process
from imc_testkit.proxy import tcp_proxy
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.stores import Stores
from imc_testkit.variants.broken import TIME
from imc_testkit.variants.failpoints import failpoint
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]


def timeout(broken: str | None) -> float:
    """How many seconds a run may take to catch up. A broken one may never do so."""
    return 30.0 if broken is None else 4.0


def twice(broken: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("broken", [None, broken], ids=["as it is", broken])


def with_failpoint(failpoint_name: str, broken: str | None, env: Any) -> Start:
    return Start(env, ",".join(filter(None, (failpoint_name, broken))))


def expect(report: Report, broken: str | None, *counts: str) -> None:
    assert report.is_clean == (broken is None), report
    assert broken is None or all(report.counts[count] for count in counts), report


async def send(load: Load, count: int, app: int = 0) -> list[str]:
    """Send messages one after the other; return the ids of the acknowledged ones."""
    attempts = [
        await load.clients.send(load.clients.draft(load.app_ids[app], with_id=False)) for _ in range(count)
    ]
    return [attempt.message_id for attempt in attempts if attempt.message_id]


@twice("advances-first")
async def test_acknowledging_before_the_commit_is_found(
    small: Make, load_small: Make, judge: Judge, tmp_path: Path, broken: str | None
) -> None:
    start = with_failpoint("fails-before-commit", broken, failpoint(tmp_path / "mark"))
    async with (
        small(projectors=(start,), push_nodes=()) as deployment,
        load_small(deployment, gateways=0) as load,
    ):
        projector: Process = deployment.projectors[0]
        await send(load, 5)
        await wait_until(lambda: projector.exit_code == -signal.SIGKILL)
        await projector.start()
        expect(await judge(load, timeout(broken), replay=False), broken, "lost")


@twice("repairs-no-hole")
async def test_not_repairing_a_hole_is_found(
    small: Make, load_small: Make, judge: Judge, broken: str | None
) -> None:
    async with (
        small(
            command_apis=(Start({TIME: "3"}, "loses-a-publish"),), push_nodes=(Start(variant=broken),)
        ) as deployment,
        load_small(deployment, apps=1, gateways=1) as load,
    ):
        assert len(await send(load, 8)) == 8
        expect(await judge(load, timeout(broken), replay=False), broken, "lost")


@twice("checks-no-tail")
async def test_not_polling_the_log_is_found(
    small: Make, load_small: Make, judge: Judge, broken: str | None
) -> None:
    async with (
        small(
            # Of the last send: the script runs twice for the first.
            command_apis=(Start({TIME: "6"}, "loses-a-publish"),),
            push_nodes=(Start(variant=broken),),
        ) as deployment,
        load_small(deployment, apps=1, gateways=1) as load,
    ):
        assert len(await send(load, 5)) == 5
        expect(await judge(load, timeout(broken), replay=False), broken, "lost")


@twice("trims-by-length")
async def test_trimming_by_length_is_found(
    small: Make, load_small: Make, judge: Judge, broken: str | None
) -> None:
    async with (
        small(command_apis=(Start(variant=broken),), push_nodes=()) as deployment,
        load_small(deployment, apps=1, gateways=0) as load,
    ):
        deployment.projectors[0].pause()
        assert len(await send(load, 40)) == 40
        deployment.projectors[0].resume()
        expect(await judge(load, timeout(broken), replay=False), broken, "lost")


@twice("publishes-apart")
async def test_publishing_outside_the_script_is_found(
    small: Make, load_small: Make, judge: Judge, tmp_path: Path, broken: str | None
) -> None:
    # The script runs twice for the first send: a new app is taken from its quota between.
    start = with_failpoint("fails-before-append", broken, failpoint(tmp_path / "mark", time=6))
    async with small(command_apis=(start,)) as deployment, load_small(deployment, apps=1, gateways=1) as load:
        assert len(await send(load, 4)) == 4
        # The push-node must be up to date: if a batch does not follow, it would read the log instead.
        end = await load.stores.end_of_log(load.app_ids[0])
        await wait_until(lambda: load.gateways[0].cursor == end)
        assert await send(load, 1) == []
        await deployment.command_apis[0].wait()
        await deployment.command_apis[0].start()
        await deployment.ready()
        assert len(await send(load, 3)) == 3
        expect(await judge(load, timeout(broken), replay=False), broken, "phantom")


@twice("restores-status")
async def test_a_hung_projector_that_restores_status_is_found(
    small: Make, load_small: Make, judge: Judge, http: httpx.AsyncClient, tmp_path: Path, broken: str | None
) -> None:
    """It stops between reading and writing, while another projector writes the message and its recall."""
    mark = tmp_path / "mark"
    hung = with_failpoint("fails-after-reading", broken, failpoint(mark, number=signal.SIGSTOP))
    async with (
        small(projectors=(hung, Start()), push_nodes=()) as deployment,
        load_small(deployment, apps=1, gateways=0) as load,
    ):
        ids: list[str] = []
        # While it seems to be gone, the shard of the app comes to the one that hangs.
        other: Process = deployment.projectors[1]
        other.pause()
        while not mark.exists():
            ids += await send(load, 1)
        other.resume()
        # The other projector takes over, and writes what the hung one has read.
        ids += await send(load, 3)
        for message_id in ids:
            await load.clients.recall(load.app_ids[0], message_id)
        await load.pause()
        projector: Process = deployment.projectors[0]
        projector.resume()

        async def has_written() -> bool:
            metrics = (await http.get(projector.url + "/metrics")).text
            return "imc_projector_batches_total 0.0" not in metrics

        await wait_until(has_written)
        report = await judge(load, timeout(broken), replay=False)
        assert {row.status for row in load.rows} == ({0} if broken is None else {0, 1})
        expect(report, broken, "un_recalled")


@twice("counts-entries")
async def test_counting_entry_ids_is_found_when_a_stale_replica_is_promoted(
    lone_redis: PrivateRedis,
    lone_database_url: str,
    small: Make,
    load_small: Make,
    judge: Judge,
    broken: str | None,
) -> None:
    """The newest acknowledged messages are lost with the old server, and gateways must be told of the gap."""
    async with contextlib.AsyncExitStack() as stack:
        primary = lone_redis
        replica = await stack.enter_async_context(
            private_redis("--replicaof", "127.0.0.1", str(primary.port))
        )
        writers, readers = [
            await stack.enter_async_context(tcp_proxy("127.0.0.1", primary.port)) for _ in range(2)
        ]
        by_writers, by_readers = [
            Start({"IMC_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}) for proxy in (writers, readers)
        ]
        deployment = await stack.enter_async_context(
            small(
                command_apis=(Start(by_writers.env, broken),),
                projectors=(by_writers,),
                push_nodes=(by_readers,),
            )
        )
        load = await stack.enter_async_context(load_small(deployment, apps=1, gateways=1))
        old = load.stores
        assert len(await send(load, 10)) == 10
        async with old.redis() as redis:
            assert await redis.wait(1, 5000) == 1  # pyright: ignore[reportGeneralTypeIssues, reportUnknownMemberType]
        load.stores = Stores(replica.url, lone_database_url)
        async with load.stores.redis() as redis:
            await redis.replicaof("NO", "ONE")  # pyright: ignore[reportGeneralTypeIssues, reportUnknownMemberType]
        assert len(await send(load, 5)) == 5
        await old.projected(load.app_ids, 10)
        end = await old.end_of_log(load.app_ids[0])
        await wait_until(lambda: load.gateways[0].cursor == end)
        before = len(gaps_of(load))
        readers.refuse()
        await primary.kill()
        for proxy in (writers, readers):
            proxy.lead_to("127.0.0.1", replica.port)
        await deployment.command_apis[0].ready()
        assert len(await send(load, 10)) == 10
        await readers.accept()
        await deployment.ready()
        assert len(await send(load, 3)) == 3
        report = await judge(load, timeout(broken), replay=False)
        assert len(gaps_of(load)) - before == (1 if broken is None else 0)
        expect(report, broken, "lost")


def gaps_of(load: Load) -> list[Frame]:
    return [frame for frame in load.history.connections[0].frames if frame.code == 4002]
