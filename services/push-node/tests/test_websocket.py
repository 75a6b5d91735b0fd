"""The WebSocket itself: who is let in, and what ends a connection."""

import asyncio
import json
from typing import Any, cast

import httpx
import pytest
from imc_contracts.codes import CloseCode
from imc_push_node.app import server_options
from imc_push_node.gateway import websocket
from imc_push_node.gateway.gateway import PauseReason
from imc_push_node.settings import PushNodeSettings
from imc_service.http.guard.settings import GuardSettings
from imc_testkit.gateway import Gateway, connect
from imc_testkit.waiting import wait_until
from imc_testkit.wire_fuzz import frame, handshake
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol


async def test_a_binary_frame_ends_it(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.websocket.send(b"bytes")
        assert await gateway.wait_closed() == 1003


async def test_text_that_is_no_utf8_ends_it(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.websocket.send(b"\xff\xfe", text=True)
        assert await gateway.wait_closed() == 1007


async def status_of_the_last_reply(node: Any, request: bytes) -> int:
    """The status of the reply after which the node ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(node.url.rsplit(":", 1)[1]))
    writer.write(request)
    async with asyncio.timeout(10):
        reply = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(reply.split()[1])


async def open_by_hand(url: str, app_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A gateway that looks at nothing and answers nothing."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(handshake(host, f"/v1/gateways/{app_id}/raw"))
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def exchange(url: str, app_id: str, data: bytes) -> tuple[list[int], int | None]:
    """Write bytes, then read until the node closes: the codes that came, and the close code."""
    reader, writer = await open_by_hand(url, app_id)
    writer.write(data)
    client = Protocol(CLIENT, state=OPEN)
    async with asyncio.timeout(10):
        while client.close_rcvd is None:
            client.receive_data(await reader.read(65_536))
        writer.close()
        await writer.wait_closed()
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    codes = [json.loads(bytes(frame.data))["code"] for frame in frames if frame.opcode is Opcode.TEXT]
    return codes, client.close_rcvd and client.close_rcvd.code


@pytest.mark.parametrize("parts", [1, 400])
async def test_a_frame_over_the_limit_ends_it(start_node: Any, app_id: str, parts: int) -> None:
    node = await start_node(max_frame_bytes=100_000)
    part = b"x" * (20_000_000 // parts)
    whole = [Frame(Opcode.CONT if index else Opcode.TEXT, part, index == parts - 1) for index in range(parts)]
    data = b"".join(frame.serialize(mask=True) for frame in whole)
    assert await exchange(node.url, app_id, data) == ([2000], 1009)


async def test_frames_ahead_of_a_fault_are_answered(start_node: Any, app_id: str) -> None:
    node = await start_node(max_frame_bytes=2000)
    good = Frame(Opcode.TEXT, b"nonsense").serialize(mask=True)
    bad = Frame(Opcode.TEXT, b"x" * 3000).serialize(mask=True)
    assert await exchange(node.url, app_id, good + bad) == ([2000, 4001], 1009)


async def test_a_text_in_fragments_is_one_frame(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.websocket.send(['{"cli', "", 'entMessageId":', '"mine"}'])
        (refused,) = await gateway.wait_for_code(4001)
        assert refused["data"] == {"error": 40001, "retryable": False, "clientMessageId": "mine"}


async def test_a_refused_frame_leaves_the_connection(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_text("hello")
        await gateway.send_json([{"clientMessageId": "a"}, {"clientMessageId": ""}, 5])
        frames = await gateway.wait_for_code(4001, 4)
        malformed = {"error": 40001, "retryable": False}
        assert [frame["data"] for frame in frames] == [
            malformed,
            {**malformed, "clientMessageId": "a", "index": 0},
            {**malformed, "index": 1},
            {**malformed, "index": 2},
        ]
        await app_log.send()
        await gateway.wait_for_code(2001)


async def refused(url: str, path: str) -> tuple[dict[str, Any], int | None]:
    address = f"ws{url.removeprefix('http')}/v1/gateways/{path}"
    async with connect_websocket(address, proxy=None) as websocket:
        gateway = Gateway(websocket)
        await gateway.keep_reading()
        (frame,) = gateway.frames
        return frame, gateway.close_code


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("%20a/one", "appId"),
        (f"{'a' * 128}/one", "appId"),
        ("%00/one", "appId"),
        ("app/a%0Ab", "gatewayId"),
        ("app/a%20", "gatewayId"),
        (f"app/{'%E7%BD%91' * 128}", "gatewayId"),
        ("app/one?cursor=nonsense", "cursor"),
        ("app/one?cursor=line.1-1%00", "cursor"),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(node: Any, path: str, named: str) -> None:
    frame, code = await refused(node.url, path)
    malformed = {"error": 40001, "retryable": False}
    assert (frame["success"], frame["code"], frame["data"]) == (False, 4000, malformed)
    assert frame["message"].startswith(f"{named} ")
    assert " must be " in frame["message"]
    assert code == 1008


async def test_ids_are_percent_decoded(node: Any, app_log: Any) -> None:
    address = f"ws{node.url.removeprefix('http')}/v1/gateways/"
    path = app_log.app_id.replace("-", "%2D") + "/one%7E?cursor="
    async with connect_websocket(address + path, proxy=None) as websocket:
        assert '"code":2000' in str(await websocket.recv())
        await app_log.send()
        assert '"code":2001' in str(await websocket.recv())


@pytest.mark.parametrize(
    "gateway_id",
    ["10.0.0.1:8080", "gw@1", "网关", "gw 1", "g" * 127, "网" * 127, "a/b", "50%", "{x}", "a%2Fb"],
)
async def test_a_gateway_id_may_hold_any_characters(node: Any, app_log: Any, gateway_id: str) -> None:
    async with connect(node.url, app_log.app_id, gateway_id) as older:
        await older.wait_for_code(2000)
        assert node.gateway(app_log.app_id, gateway_id)
        async with connect(node.url, app_log.app_id, gateway_id) as newer:
            await newer.wait_for_code(2000)
            assert await older.wait_closed() == 4409
            await app_log.send()
            await newer.wait_for_code(2001)


async def test_a_slash_within_an_id_parts_no_ids(node: Any, app_id: str) -> None:
    """Decoded, both paths are the same."""
    async with connect(node.url, f"{app_id}/b", "c") as one, connect(node.url, app_id, "b/c") as other:
        await one.wait_for_code(2000)
        await other.wait_for_code(2000)
        assert set(node.app(f"{app_id}/b").newest) == {"c"}
        assert set(node.app(app_id).newest) == {"b/c"}


@pytest.mark.parametrize("path", ["app", "app/", "app/a/b", "/gw", "app/gw/"])
async def test_a_path_of_other_segments_is_none(node: Any, path: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await connect_websocket(f"ws{node.url.removeprefix('http')}/v1/gateways/{path}", proxy=None)
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body or b"")["code"] == 40400


async def test_an_unknown_path_is_no_websocket(node: Any) -> None:
    with pytest.raises(InvalidStatus):
        await connect_websocket(f"ws{node.url.removeprefix('http')}/elsewhere", proxy=None)


async def test_the_path_without_an_upgrade_is_refused_in_the_envelope(node: Any) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        for path in ("/v1/gateways/app/one", "/v1/gateways/%7B/%00"):
            reply = await client.get(path)
            assert reply.status_code == 400
            assert reply.json()["code"] == 40001
        assert (await client.post("/v1/gateways/app/one")).status_code == 405
        assert (await client.get("/elsewhere")).json()["code"] == 40400


async def test_deflate_is_off(node: Any, app_log: Any) -> None:
    async with connect(node.url, app_log.app_id, "one") as gateway:
        response = gateway.websocket.response
        assert response is not None
        assert "Sec-WebSocket-Extensions" not in response.headers


async def test_the_operations(node: Any) -> None:
    async with httpx.AsyncClient(base_url=node.url, trust_env=False) as client:
        assert (await client.get("/livez")).status_code == 200
        metrics = (await client.get("/metrics")).text
        assert "imc_gateways " in metrics
        assert "imc_deliveries_total" in metrics


async def test_a_gateway_that_answers_no_ping_is_closed(start_node: Any, app_id: str) -> None:
    node = await start_node(ping_seconds=0.2)
    assert await exchange(node.url, app_id, b"") == ([2000], 4408)


async def test_a_gateway_that_answers_pings_stays(start_node: Any, app_log: Any) -> None:
    node = await start_node(ping_seconds=0.05)
    async with connect(node.url, app_log.app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        socket = node.gateway(app_log.app_id, "one").socket
        pings = set[int]()  # where in the stream, since nothing else is written

        def was_pinged_often() -> bool:
            pings.add(socket.written)
            return len(pings) > 5

        await wait_until(was_pinged_often)
        await app_log.send()
        await gateway.wait_for_code(2001)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends within the time of a test ends by what is said, not by time."""
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 3600.0)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("reason", PauseReason)
async def test_one_that_is_not_read_has_its_answer_to_the_close_frame_read(
    node: Any, app_id: str, reason: PauseReason
) -> None:
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        held = node.gateway(app_id, "one")
        held.pause(reason)
        held.socket.close(CloseCode.NODE_RESTARTS, "the node restarts")
        assert await gateway.wait_closed() == 1012
        await wait_until(lambda: held.socket.disconnected)


async def test_bytes_that_came_before_a_pause_wait_for_its_end_and_cost_no_turns(
    node: Any, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        held = node.gateway(app_id, "one")
        turns, take_turn = list[Any](), type(held.socket)._take_turn

        def counted(socket: Any) -> None:
            turns.append(socket)
            take_turn(socket)

        monkeypatch.setattr(type(held.socket), "_take_turn", counted)
        held.pause(PauseReason.FORWARDS)
        held.socket.data_received(frame(b"this is answered"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(turns) == 1
        held.resume(PauseReason.FORWARDS)
        await gateway.wait_for_code(4001)


@pytest.mark.usefixtures("patient")
async def test_a_gateway_that_hangs_up_is_gone_at_once(node: Any, app_id: str) -> None:
    reader, writer = await open_by_hand(node.url, app_id)
    await reader.readuntil(b"2000")
    socket = node.gateway(app_id, "raw").socket
    writer.write_eof()
    await wait_until(lambda: socket.disconnected)
    assert not node.app(app_id).delivery.gateways
    socket.close(CloseCode.NODE_RESTARTS)
    assert socket.conn.close_sent is None, "nobody is there to be told"
    writer.close()


async def open_and_fill(node: Any, app_id: str) -> tuple[asyncio.StreamWriter, Any]:
    """A gateway that reads nothing, and its socket at the node, which holds more than its machine takes."""
    reader, writer = await open_by_hand(node.url, app_id)
    await reader.readuntil(b"2000")
    cast(Any, writer.transport).pause_reading()
    socket = node.gateway(app_id, "raw").socket
    while not socket.transport.get_write_buffer_size():
        socket.write(b"x" * 1_000_000)
        await asyncio.sleep(0)
    return writer, socket


@pytest.mark.parametrize("ends_by", ["a close frame", "an end of file", "nothing"])
async def test_a_close_that_the_peer_does_not_take_ends_in_time(
    start_node: Any, app_log: Any, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    """More waits for it than its machine takes, and it reads nothing any more."""
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.2)
    node = await start_node(gateway_buffer_bytes=10**9)
    writer, socket = await open_and_fill(node, app_log.app_id)
    if ends_by == "a close frame":
        writer.write(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    elif ends_by == "an end of file":
        writer.write_eof()
    else:
        socket.close(CloseCode.NODE_RESTARTS)
    await wait_until(lambda: socket.disconnected)
    assert not node.app(app_log.app_id).delivery.gateways
    writer.transport.abort()


@pytest.mark.usefixtures("patient")
async def test_who_ends_its_side_leaves_before_it_has_taken_the_rest(start_node: Any, app_log: Any) -> None:
    node = await start_node(ping_seconds=3600, gateway_buffer_bytes=10**9)
    writer, socket = await open_and_fill(node, app_log.app_id)
    writer.write_eof()
    await wait_until(lambda: not node.app(app_log.app_id).delivery.gateways)
    assert not socket.disconnected
    socket.transport.abort()
    writer.transport.abort()


async def test_a_close_frame_beside_a_fault_is_answered(node: Any, app_id: str) -> None:
    """Both come in one read: the peer has closed before its fault is looked at."""
    fault = Frame(Opcode.BINARY, b"bytes").serialize(mask=True)
    close = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
    assert (await exchange(node.url, app_id, fault + close))[1] == 1000


async def test_who_is_still_here_as_the_server_ends_is_sent_away(node: Any, app_id: str) -> None:
    async with connect(node.url, app_id, "one") as gateway:
        await gateway.wait_for_code(2000)
        node.gateway(app_id, "one").socket.shutdown()
        assert await gateway.wait_closed() == 1012


async def test_a_fault_of_ours_at_a_handshake_is_answered_and_told(
    node: Any, app_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def take(_app_id: str, _gateway_id: str) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(node.push_node.connections.gateway_quota, "take", take)
    with pytest.raises(InvalidStatus) as caught:
        async with connect(node.url, app_id, "one"):
            pass
    assert caught.value.response.status_code == 500
    assert "a fault of ours" in caplog.text
    assert await status_of_the_last_reply(node, handshake("node", f"/v1/gateways/{app_id}/raw")) == 500


def test_the_limits_of_the_process_come_before_the_nodes_own() -> None:
    given = {"auth": "off", "redis_url": "redis://h", "command_api_url": "http://h"}
    settings = PushNodeSettings.model_validate({**given, "max_requests_in_flight": 5})
    process = GuardSettings.model_validate({"auth": "off", "max_requests_in_flight": 7})
    for limits, most in ((process, 7), (None, 5)):
        options = server_options(settings, CollectorRegistry(), limits=limits)
        [guard] = options["http"].args
        assert guard.max_requests == most


@pytest.mark.parametrize("size", [9_000, 30_000])
@pytest.mark.parametrize("place", ["a header", "the query"])
async def test_a_handshake_that_is_too_large_is_answered(node: Any, size: int, place: str) -> None:
    much = "x" * size
    query = f"?cursor={much}" if place == "the query" else ""
    headers = {"X-Much": much} if place == "a header" else {}
    with pytest.raises(InvalidStatus) as caught:
        address = f"ws{node.url.removeprefix('http')}/v1/gateways/a/g{query}"
        async with connect_websocket(address, proxy=None, additional_headers=headers, open_timeout=5):
            pass
    assert caught.value.response.status_code == 431
    assert json.loads(caught.value.response.body or b"")["code"] == 43101


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (431, handshake("node", "/v1/gateways/app/raw", f"X-Much: {'x' * 9_000}")),
        (431, handshake("node", "/v1/gateways/app/raw", f"X-Much: {'x' * 30_000}")),
        (404, handshake("node", "/nowhere/app/raw")),
        (400, handshake("node", "/v1/gateways/app/raw").replace(b"Version: 13", b"Version: x")),
    ],
)
async def test_a_connection_ends_after_a_handshake_that_was_refused(
    node: Any, status: int, request_: bytes
) -> None:
    assert await status_of_the_last_reply(node, request_) == status
