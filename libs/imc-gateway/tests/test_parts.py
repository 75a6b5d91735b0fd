"""The parts that need no server."""

import asyncio
import base64
import json
import logging
import time
from pathlib import Path

import httpx
import pytest
from imc_gateway import (
    Disconnected,
    Ended,
    FileStore,
    Gap,
    ImcError,
    MemoryStore,
    Message,
    MessageRecalled,
    MessageSent,
    Replaced,
    calls,
)
from imc_gateway.addresses import Addresses, with_parameters
from imc_gateway.endings import Ending, of_close, of_status
from imc_gateway.inbox import Inbox
from imc_gateway.positions import Position
from imc_gateway.repair import KnownEvents
from imc_gateway.sends import Unanswered
from imc_gateway.tokens import Tokens
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close


@pytest.mark.parametrize(
    ("url", "web", "common"),
    [
        ("ws://h", "http://h", "ws://h/v1/gateways/a%2Fb/g%201"),
        ("wss://h:8443/imc/", "https://h:8443/imc", "wss://h:8443/imc/v1/gateways/a%2Fb/g%201"),
        ("https://[::1]:1", "https://[::1]:1", "wss://[::1]:1/v1/gateways/a%2Fb/g%201"),
    ],
)
def test_addresses_lie_below_the_url(url: str, web: str, common: str) -> None:
    addresses = Addresses.of(url, "a/b", "g 1")
    assert (addresses.web, addresses.common) == (web, common)
    assert addresses.node == f"{web}/v1/gateways/a%2Fb/g%201/node"


@pytest.mark.parametrize("url", ["", "h", "redis://h", "ws://", "ws://h?x=1", "ws://h#x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must be"):
        Addresses.of(url, "a", "g")


def test_parameters_are_added_as_needed() -> None:
    assert with_parameters("ws://h", None, notices=False) == "ws://h"
    assert with_parameters("ws://h", "e.1-0&", notices=True) == "ws://h?cursor=e.1-0%26&notices=1"


async def test_a_file_keeps_the_position(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "position")
    assert await store.load() is None
    position = Position().after("e.1-0", 7)
    await store.save(position.text())
    assert Position.read(await store.load()) == position
    assert [path.name for path in tmp_path.iterdir()] == ["position"]  # noqa: ASYNC240


def test_a_position_never_forgets_the_newest_message() -> None:
    position = Position().after("e.1-0", 7).after("e.2-0").after("e.3-0", 5)
    assert position == Position("e.3-0", 7)
    assert Position.read("0 ") == Position()


@pytest.mark.parametrize("text", ["x", "e.1-0", "x e.1-0", "-1 e"])
def test_a_store_with_something_else_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="no position"):
        Position.read(text)


def token_until(ends: float) -> str:
    payload = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).decode().rstrip("=")
    return f"x.{payload}.x"


def test_a_token_is_renewed_before_it_ends() -> None:
    tokens = Tokens(lambda: "t")
    assert 530 < (tokens.renew_in(token_until(time.time() + 600)) or 0) <= 540
    assert 4 < (tokens.renew_in(token_until(time.time() + 10)) or 0) <= 5
    assert tokens.renew_in(token_until(time.time() - 10)) == 1.0


@pytest.mark.parametrize("token", [None, "", "opaque", "a.b.c", "x.e30.x", "x.bnVsbA.x"])
def test_a_token_that_does_not_tell_its_end_is_not_renewed(token: str | None) -> None:
    assert Tokens(lambda: "t").renew_in(token) is None
    assert Tokens("fixed").renew_in(token_until(time.time() + 600)) is None


async def test_a_token_comes_from_a_text_a_function_or_a_coroutine() -> None:
    async def later() -> str:
        return "c"

    assert [await Tokens(token).fresh() for token in ("a", lambda: "b", later, None)] == ["a", "b", "c", None]


def close(code: int) -> Ending:
    return of_close(ConnectionClosedError(Close(code, "why"), None), was_connected=True)


@pytest.mark.parametrize("code", [1001, 1012, 1013, 4408])
def test_some_ends_are_for_a_while(code: int) -> None:
    assert close(code).fault is None


def test_a_node_that_wants_time_counts_as_a_failure() -> None:
    assert close(1012).was_connected
    assert not close(1013).was_connected


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        *((code, Ended) for code in (1003, 1007, 1008, 1009, 4403, 4499)),
        (4409, Replaced),
        (4410, Disconnected),
    ],
)
def test_others_are_for_good(code: int, kind: type[Ended]) -> None:
    fault = close(code).fault
    assert fault is not None
    assert type(fault) is kind
    assert (fault.code, fault.reason) == (code, "why")


def test_a_fresh_token_may_help_where_the_token_was_bad() -> None:
    assert close(4401).is_of_token
    assert of_status(401, None).is_of_token
    assert not of_status(403, None).is_of_token


def test_a_connection_that_is_cut_is_made_again() -> None:
    assert of_close(ConnectionClosedError(None, None), was_connected=True).fault is None


@pytest.mark.parametrize(
    ("status", "is_final"), [(400, True), (403, True), (404, True), (408, False), (429, False), (503, False)]
)
def test_a_refused_upgrade_is_tried_again_if_that_can_help(status: int, is_final: bool) -> None:
    ending = of_status(status, 3.0)
    assert (ending.fault is not None) == is_final
    assert is_final or ending.pause == 3.0


def sent(message_id: str) -> MessageSent:
    return MessageSent(Message(message_id, "a", "g", "u", "", 1, 0, None, None, False))


def recalled(message_id: str) -> MessageRecalled:
    return MessageRecalled(sent(message_id).message)


def test_what_was_handed_on_is_known() -> None:
    known = KnownEvents(limit=2)
    assert sent("1") not in known
    known.learn(sent("1"))
    assert sent("1") in known
    assert recalled("1") not in known
    known.learn(recalled("1"))
    known.learn(sent("1"))
    assert recalled("1") in known
    for later in ("2", "3"):
        known.learn(sent(later))
    assert sent("1") not in known


def test_a_recall_says_all_that_its_message_would() -> None:
    known = KnownEvents()
    known.learn(recalled("1"))
    assert sent("1") in known


async def test_an_inbox_hands_out_what_it_holds_before_it_ends() -> None:
    inbox = Inbox(1)
    inbox.put(Gap(True), Position("e.1-0"))
    assert inbox.is_full
    inbox.end(Replaced(4409, "why"))
    assert await inbox.get() == (Gap(True), Position("e.1-0"))
    for _ in range(2):
        with pytest.raises(Replaced):
            await inbox.get()


async def test_an_inbox_that_ends_well_stops() -> None:
    inbox = Inbox(1)
    waiting = asyncio.create_task(inbox_has_stopped(inbox))
    inbox.end(None)
    assert await waiting


async def inbox_has_stopped(inbox: Inbox) -> bool:
    try:
        await inbox.get()
    except StopAsyncIteration:
        return True
    return False


async def test_only_so_many_sends_wait_for_an_answer() -> None:
    unanswered = Unanswered(1)
    first = await unanswered.add({"clientMessageId": "1"})
    second = asyncio.create_task(unanswered.add({"clientMessageId": "2"}))
    done, _ = await asyncio.wait({second}, timeout=0)
    assert not done
    unanswered.remove(first)
    unanswered.remove(first)
    assert (await second).client_message_id == "2"
    third = asyncio.create_task(unanswered.add({"clientMessageId": "3"}))
    done, _ = await asyncio.wait({third}, timeout=0)
    assert not done
    third.cancel()


async def test_a_client_message_id_is_used_once_at_a_time() -> None:
    unanswered = Unanswered(5)
    await unanswered.add({"clientMessageId": "1"})
    with pytest.raises(ValueError, match="being sent already"):
        await unanswered.add({"clientMessageId": "1"})


@pytest.mark.parametrize(
    ("status", "body", "code", "is_retryable"),
    [
        (404, {"code": 40401, "message": "no", "data": None}, 40401, False),
        (429, {"code": 42901, "message": "no", "data": None}, 42901, True),
        (502, "<html>", 50200, True),
        (200, [], 20000, False),
        (404, {"detail": "Not Found"}, 40400, False),
    ],
)
def test_a_failure_is_told_whatever_it_looks_like(
    status: int, body: object, code: int, is_retryable: bool
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(ImcError) as refused:
        calls.data_of(httpx.Response(status, text=text, headers={"Retry-After": "3"}))
    assert (refused.value.code, refused.value.is_retryable) == (code, is_retryable)


async def test_a_memory_store_begins_where_it_is_told() -> None:
    assert await MemoryStore("0 e.1-0").load() == "0 e.1-0"


async def test_an_inbox_knows_for_how_long_its_loop_has_been_slow() -> None:
    inbox = Inbox(4)
    for number in range(4):
        assert inbox.full_seconds == 0
        inbox.put(Gap(True), Position(f"e.{number}-0"))
    await asyncio.sleep(0.01)
    full = inbox.full_seconds
    assert full > 0
    # Room that is used at once is no end of it.
    await inbox.get()
    inbox.put(Gap(True), Position("e.4-0"))
    assert inbox.full_seconds >= full
    for _ in range(2):
        await inbox.get()
    assert inbox.full_seconds == 0


def test_a_gateway_that_was_closed_as_too_slow_is_warned() -> None:
    assert (close(4408).level, close(4408).words) == (logging.WARNING, "4408: why")
    assert close(1012).level == logging.INFO
    assert of_close(ConnectionClosedError(None, None), was_connected=True).words.endswith("broke off")
