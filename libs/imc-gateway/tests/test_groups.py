"""A gateway that gets the events of some groups only."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from imc_gateway import AsyncClient, Ended, Gap, Gateway, ImcError, MemoryStore, MessageSent, calls, connect
from imc_gateway.groups import FRAME_BYTES, HeldGroups
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.waiting import wait_until


async def contents(gateway: Gateway, count: int) -> list[str]:
    found: list[str] = []
    async with asyncio.timeout(100):
        while len(found) < count:
            event = await anext(gateway)
            assert isinstance(event, MessageSent)
            found.append(event.message.content)
    return found


async def test_only_the_events_of_its_groups_are_handed_out(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g", groups={"a"}) as gateway:
        for group in ("a", "b", "a"):
            await gateway.send(group, "ann", f"{group} before")
        await gateway.add_groups(["b"])
        await gateway.send("b", "ann", "b then")
        await gateway.remove_groups(["a"])
        for group in ("a", "b"):
            await gateway.send(group, "ann", f"{group} after")
        assert await contents(gateway, 4) == ["a before", "a before", "b then", "b after"]


async def test_a_change_without_a_list_is_an_error(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g") as gateway:
        with pytest.raises(ValueError, match="give groups to connect"):
            await gateway.add_groups(["a"])


async def test_a_refused_change_changes_nothing(url: str, app_id: str) -> None:
    async with connect(url, app_id, "g", groups={"a"}) as gateway:
        with pytest.raises(ImcError, match=r"addGroups\[0\]") as refused:
            await gateway.add_groups([""])
        assert (refused.value.code, refused.value.is_retryable) == (40001, False)
        await gateway.send("a", "ann", "hello")
        assert await contents(gateway, 1) == ["hello"]


async def test_a_list_that_is_refused_ends_it(url: str, app_id: str) -> None:
    with pytest.raises(Ended, match="40001"):
        async with connect(url, app_id, "g", groups={" "}):
            pass


async def test_a_list_of_many_frames_resumes_where_it_was(url: str, app_id: str) -> None:
    groups = [f"group {number}" for number in range(25_000)]
    store = MemoryStore()
    async with connect(url, app_id, "g", groups=groups, store=store) as gateway:
        await gateway.send(groups[-1], "ann", "known")
        assert await contents(gateway, 1) == ["known"]
    async with AsyncClient(url) as client:
        for group in (groups[0], "other", groups[12_000], groups[-1]):
            await client.call(calls.send_message(app_id, group, "bob", f"missed in {group}"))
    async with connect(url, app_id, "g", groups=groups, store=store) as gateway:
        missed = await contents(gateway, 3)
    assert missed == [f"missed in {group}" for group in (groups[0], groups[12_000], groups[-1])]


async def test_the_store_moves_while_its_groups_are_quiet(url: str, app_id: str) -> None:
    store = MemoryStore()
    async with (
        connect(url, app_id, "g", groups={"quiet"}, store=store) as gateway,
        AsyncClient(url) as client,
    ):
        waiting = asyncio.create_task(contents(gateway, 1))
        sent = await client.call(calls.send_message(app_id, "busy", "bob", "hello"))
        assert sent.message_id
        begun = store.position
        await wait_until(lambda: store.position not in (None, begun), what="the store to move")
        await client.call(calls.send_message(app_id, "quiet", "bob", "at last"))
        assert await waiting == ["at last"]


class Installation:
    """A standalone of one's own behind a proxy."""

    def __init__(self, deployment: Deployment, proxy: TcpProxy) -> None:
        self.process = deployment.push_nodes[0]
        self.proxy = proxy
        self.url = f"http://127.0.0.1:{proxy.port}"


@pytest.fixture
async def own(tmp_path: Path) -> AsyncGenerator[Installation]:
    async with (
        standalone(tmp_path / "imc", {"IMC_DRAIN_SECONDS": "0.1"}) as deployment,
        tcp_proxy("127.0.0.1", deployment.push_nodes[0].port) as proxy,
    ):
        yield Installation(deployment, proxy)


@pytest.mark.parametrize("fault", ["killed", "cut"])
async def test_nothing_of_its_groups_is_lost_or_doubled(own: Installation, app_id: str, fault: str) -> None:
    """Groups come and go meanwhile: of a group that is added, all that is sent after that comes."""
    progress: list[str] = []
    expected: list[str] = []
    got: list[str] = []

    async def send_all(gateway: Gateway) -> None:
        for number in range(60):
            if number % 10 in (5, 9):
                # A change counts from where the node is, which may not have heard of the newest send yet.
                await wait_until(lambda: got == expected, timeout=100, what="what was sent")
                await (gateway.add_groups(["b"]) if number % 10 == 5 else gateway.remove_groups(["b"]))
            for group in ("b", "c", "a"):
                await gateway.send(group, "ann", f"{group} {number}")
                progress.append(group)
                if group == "a" or (group == "b" and 5 <= number % 10 < 9):
                    expected.append(f"{group} {number}")

    async def read_all(gateway: Gateway) -> None:
        while len(got) < 60 + 24:
            got.extend(await contents(gateway, 1))

    async def bring_about() -> None:
        for begin in (40, 110):
            await wait_until(lambda begin=begin: len(progress) >= begin, timeout=100, what="sends")
            if fault == "cut":
                own.proxy.cut()
            else:
                await own.process.kill()
                await own.process.start()

    async with connect(own.url, app_id, "g", groups=["a"]) as gateway:
        async with asyncio.timeout(110):
            await asyncio.gather(send_all(gateway), bring_about(), read_all(gateway))
    assert got == expected


async def test_a_gap_is_repaired_for_its_groups_only(own: Installation, app_id: str) -> None:
    async with AsyncClient(own.url) as client:
        store = MemoryStore()
        async with connect(own.url, app_id, "g", store=store, groups=["a"]) as gateway:
            await gateway.send("a", "ann", "known")
            await contents(gateway, 1)
        for group in ("a", "b"):
            await client.call(calls.send_message(app_id, group, "bob", f"missed in {group}"))

        async def are_stored() -> bool:
            return len((await client.call(calls.groups(app_id))).items) == 2

        await wait_until(are_stored, what="both groups in the history")
        newest, _, cursor = (store.position or "").partition(" ")
        lost = MemoryStore(f"{newest} 0f0f0f0f0f0f.{cursor.partition('.')[2]}")
        async with connect(own.url, app_id, "g2", store=lost, groups=["a"]) as gateway:
            told: list[str] = []
            async with asyncio.timeout(60):
                while not isinstance(event := await anext(gateway), Gap):
                    assert isinstance(event, MessageSent)
                    told.append(event.message.content)
        assert sorted(told) == ["known", "missed in a"]
        assert event.is_repaired


def frames(held: HeldGroups) -> list[dict[str, Any]]:
    found = [json.loads(frame) for frame in held.outgoing]
    held.outgoing.clear()
    return found


async def test_a_new_connection_says_all_that_had_no_answer() -> None:
    held = HeldGroups({"a"})
    assert not held.begin()
    assert frames(held) == [{"addGroups": ["a"]}]
    assert held.taken()
    [added] = held.changes(["b"], [])
    assert frames(held) == [{"addGroups": ["b"]}]
    held.end()
    [removed] = held.changes([], ["a"])
    assert frames(held) == []
    held.begin()
    assert frames(held) == [{"addGroups": ["b"]}]
    assert not added.done()
    assert held.taken()
    assert added.done()
    assert removed.done()
    assert "b" in held
    assert "a" not in held


async def test_a_refused_change_is_taken_back() -> None:
    held = HeldGroups({"a"})
    held.begin()
    held.taken()
    [answer] = held.changes(["b"], [])
    assert not held.refused(ImcError(50301, "no room", is_retryable=True))
    with pytest.raises(ImcError, match="no room"):
        await answer
    assert "b" not in held


def test_long_ids_are_listed_in_frames_that_are_not_too_large() -> None:
    held = HeldGroups({f"{number} {'😀' * 120}" for number in range(5000)})
    held.begin()
    sizes = [len(frame.encode()) for frame in held.outgoing]
    assert len(sizes) > 1
    assert max(sizes) < FRAME_BYTES * 1.01
    listed = frames(held)
    assert [frame.get("more", False) for frame in listed] == [True] * (len(sizes) - 1) + [False]
    assert sum(len(frame["addGroups"]) for frame in listed) == 5000


def test_without_a_list_nothing_is_said() -> None:
    held = HeldGroups(None)
    assert held.begin()
    assert frames(held) == []
    assert "anything" in held
