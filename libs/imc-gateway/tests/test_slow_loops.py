"""Loops over events that are slower than the events come."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from imc_gateway import AsyncClient, Event, Gateway, MessageSent, calls, connect, message_body
from imc_testkit.deployment import standalone
from imc_testkit.waiting import wait_until

STALL_SECONDS = 4
MESSAGE_BYTES = 3000
COUNT = 4000
"""So many messages fill all buffers between IMC and a loop."""
SLOW_SECONDS = 0.06
"""For one event: 50 kB a second. The kernel's own buffer would make steps of up to 600 kB."""


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncGenerator[str]:
    """The URL of an installation that soon closes a gateway which takes nothing."""
    few = {"IMC_STALL_SECONDS": str(STALL_SECONDS), "IMC_GATEWAY_BUFFER_BYTES": "65536"}
    async with standalone(tmp_path / "imc", few) as deployment:
        yield deployment.push_nodes[0].url


async def flood(url: str, app_id: str) -> None:
    """Send more than buffers hold."""
    async with AsyncClient(url) as client:
        for first in range(0, COUNT, 200):
            texts = [str(number).ljust(MESSAGE_BYTES) for number in range(first, first + 200)]
            bodies = [message_body(app_id, "lobby", "ann", text) for text in texts]
            await client.call(calls.send_messages(bodies))


async def take(gateway: Gateway, count: int) -> list[Event]:
    return [await anext(gateway) for _ in range(count)]


def numbers(events: list[Event]) -> list[int]:
    return [int(event.message.content) for event in events if isinstance(event, MessageSent)]


def logged(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if words in record.getMessage()]


async def test_a_loop_that_goes_on_slowly_stays_connected_and_is_warned_once(
    impatient: str, app_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imc_gateway")
    async with connect(impatient, app_id, "g", buffer=16) as gateway:
        flooding = asyncio.create_task(flood(impatient, app_id))
        loop = asyncio.get_running_loop()
        got: list[Event] = []
        begun = loop.time()
        while loop.time() - begun < 5 * STALL_SECONDS:
            got += await take(gateway, 1)
            await asyncio.sleep(SLOW_SECONDS)
        await flooding
        assert len(logged(caplog, "the loop over events is slow")) == 1
        got += await take(gateway, COUNT - len(got))
    assert numbers(got) == list(range(COUNT))
    assert not logged(caplog, "connecting again")


async def test_a_loop_that_hangs_is_told_at_once_that_it_was_closed_and_loses_nothing(
    impatient: str, app_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imc_gateway")
    async with connect(impatient, app_id, "g", buffer=16) as gateway:
        got = await take_first(gateway, impatient, app_id)
        await wait_until(lambda: logged(caplog, "4408) a gateway"), timeout=60, what="a warning")
        await wait_until(lambda: logged(caplog, "the connection has ended"), timeout=60, what="the end")
        assert not logged(caplog, "connecting again")
        got += await take(gateway, COUNT - len(got))
    assert numbers(got) == list(range(COUNT))
    assert logged(caplog, "connecting again in 0.0 s: 1006: the connection broke off")


async def take_first(gateway: Gateway, url: str, app_id: str) -> list[Event]:
    await flood(url, app_id)
    return await take(gateway, 1)
