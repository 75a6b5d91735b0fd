"""A message is followed through all processes: as a trace of OpenTelemetry, from its sender to its row."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import httpx
import pytest
from collector import Collector, ReceivedSpan, collecting
from imc_contracts import names
from imc_testkit.deployment import Deployment, Start, separate, standalone
from imc_testkit.gateway import connect
from imc_testkit.processes import Process, free_port
from imc_testkit.servers import private_redis
from imc_testkit.tokens import OFF
from imc_testkit.waiting import wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from redis.asyncio import Redis

POST = "POST /v1/commands/send-message"
POST_BATCH = "POST /v1/commands/send-messages"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
"""Spans leave soon."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
async def redis_url() -> AsyncGenerator[str]:
    """A Redis for these tests only: projectors share the logs of one Redis, and others do not trace."""
    async with private_redis() as redis:
        yield redis.url


@pytest.fixture(scope="module")
async def installation(redis_url: str, database_url: str, collector: Collector) -> AsyncGenerator[Deployment]:
    """Processes that trace what clients ask for, and a push-node that traces all that gateways send it."""
    env = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "IMC_TRACES_RATIO": "0"}
    async with separate(
        redis_url,
        database_url,
        env,
        command_apis=[Start()],
        projectors=[Start()],
        push_nodes=[Start(), Start({"IMC_TRACES_RATIO": "1"})],
    ) as deployment:
        yield deployment


def traceparent(flags: str = "01") -> tuple[str, str, str]:
    """A trace id, a span id, and the header that holds them."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-{flags}"


async def spans_of(collector: Collector, trace_id: str, count: int) -> dict[str, list[ReceivedSpan]]:
    """The spans of a trace by name, once there are ``count``."""

    def all_here() -> bool:
        return len(collector.of(trace_id)) >= count

    await wait_until(all_here, 90, what=f"{count} spans of {trace_id}")
    by_name: dict[str, list[ReceivedSpan]] = {}
    for span in collector.of(trace_id):
        by_name.setdefault(span.name, []).append(span)
    return by_name


def a_message(app_id: str, content: str = "hello") -> dict[str, str]:
    return {"appId": app_id, "groupId": "g", "userId": "u", "content": content}


async def send(
    http: httpx.AsyncClient,
    deployment: Deployment,
    body: Any,
    headers: dict[str, str],
    call: str = "send-message",
) -> Any:
    reply = await http.post(
        f"{deployment.command_apis[0].url}/v1/commands/{call}", json=body, headers=headers
    )
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


async def test_one_trace_leads_from_the_request_to_the_pushes_and_the_row(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, redis_url: str, app_id: str
):
    trace_id, span_id, header = traceparent()
    one, two = (node.url for node in installation.push_nodes)
    async with connect(one, app_id, "g1") as first, connect(two, app_id, "g2") as second:
        for gateway in (first, second):
            await gateway.wait_for_code(2000)
        receipt = await send(
            http, installation, a_message(app_id), {"traceparent": header, "x-request-id": "of-ann"}
        )
        spans = await spans_of(collector, trace_id, 5)
        assert {name: len(found) for name, found in spans.items()} == {
            POST: 1,
            "append": 1,
            "push": 2,
            "store": 1,
        }
        [post], [append], [store] = spans[POST], spans["append"], spans["store"]
        assert post.parent_id == span_id
        assert append.parent_id == post.span_id
        assert {each.parent_id for each in (*spans["push"], store)} == {append.span_id}
        assert (post.service, append.service, store.service) == (
            *("imc-command-api", "imc-command-api"),
            "imc-projector",
        )
        assert len({(each.service, each.instance) for each in spans["push"]}) == 2
        assert post.attributes["http.response.status_code"] == 200
        assert append.attributes["imc.app_id"] == app_id
        assert append.attributes["imc.message_id"] == [receipt["messageId"]]
        assert append.attributes["imc.request_id"] == "of-ann"
        assert [each.attributes["imc.gateways"] for each in spans["push"]] == [1, 1]
        assert not any(each.has_failed for each in collector.of(trace_id))
        # Gateways see nothing of it, nor does the history.
        for gateway in (first, second):
            [push] = await gateway.wait_for_code(2001)
            assert push.keys() == {"success", "code", "message", "data", "cursor"}
            assert trace_id not in str(push)
        query = {"appId": app_id, "groupId": "g"}
        history = await http.get(f"{installation.query_apis[0].url}/v1/queries/messages", params=query)
        assert history.json()["data"]["messages"] == [push["data"]]
    async with Redis.from_url(redis_url) as redis:
        rows: Any = await redis.xrange(names.log(app_id))
        [(_, fields)] = rows
        assert fields[b"t"].decode() == f"00-{trace_id}-{append.span_id}-01"
        # All bytes that waited were counted, so that none is left.

        async def nothing_waits() -> bool:
            counts: Any = await redis.hmget(names.log_state(app_id), ["waiting", "waiting_bytes"])
            return counts == [b"0", b"0"]

        await wait_until(nothing_waits)


async def test_a_message_that_is_not_traced_carries_nothing(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, redis_url: str, app_id: str
):
    unwanted, _, unsampled = traceparent("00")
    for headers in ({}, {"traceparent": unsampled}, {"traceparent": "00-nonsense"}, {"traceparent": "é"}):
        given = {name: value.encode("latin-1") for name, value in headers.items()}
        await send(http, installation, a_message(app_id), given)  # pyright: ignore[reportArgumentType]
    traced, _, header = traceparent()
    await send(http, installation, a_message(app_id), {"traceparent": header})
    await spans_of(collector, traced, 3)
    assert collector.of(unwanted) == []
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(names.log(app_id))
    assert [sorted(fields) for _, fields in entries] == [[b"k", b"v"]] * 4 + [[b"k", b"t", b"v"]]


async def test_what_a_gateway_sends_begins_a_trace_at_its_node(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, app_id: str
):
    async with connect(installation.push_nodes[1].url, app_id, "g1") as gateway:
        await gateway.wait_for_code(2000)
        await gateway.send_json({**a_message(app_id), "clientMessageId": "c1"})
        [acknowledged] = await gateway.wait_for_code(2003)

        def appended() -> list[ReceivedSpan]:
            found = [each for each in collector.spans if each.name == "append"]
            return [each for each in found if each.attributes["imc.app_id"] == app_id]

        [append] = await wait_until(appended)
        spans = await spans_of(collector, append.trace_id, 6)
    [frame], [forward], [post] = spans["frame"], spans["forward"], spans[POST_BATCH]
    assert frame.parent_id == ""
    assert frame.attributes["imc.app_id"] == app_id
    assert forward.parent_id == frame.span_id
    assert post.parent_id == forward.span_id
    assert append.parent_id == post.span_id
    assert append.attributes["imc.message_id"] == [acknowledged["data"]["messageId"]]
    assert [each.parent_id for each in (*spans["push"], *spans["store"])] == [append.span_id] * 2
    assert {each.service for each in (frame, forward, spans["push"][0])} == {"imc-push-node"}
    assert frame.seconds >= forward.seconds >= post.seconds >= append.seconds > 0


async def test_frames_that_are_forwarded_together_are_linked(
    installation: Deployment, collector: Collector, app_id: str
):
    [command_api], url = installation.command_apis, installation.push_nodes[1].url
    async with contextlib.AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(connect(url, app_id, f"g{number}")) for number in range(3)
        ]
        for gateway in gateways:
            await gateway.wait_for_code(2000)
        command_api.pause()
        try:
            for number, gateway in enumerate(gateways):
                await gateway.send_json({**a_message(app_id), "clientMessageId": f"c{number}"})
                await (await gateway.websocket.ping())  # then the frame before it was read, too
        finally:
            command_api.resume()
        for gateway in gateways:
            await gateway.wait_for_code(2003)

    def frames() -> list[ReceivedSpan]:
        found = [each for each in collector.spans if each.name == "frame"]
        return [each for each in found if each.attributes["imc.app_id"] == app_id]

    await wait_until(lambda: len(frames()) == 3)
    ids = {each.span_id for each in frames()}

    def forwards() -> list[ReceivedSpan]:
        return [each for each in collector.spans if each.name == "forward" and each.parent_id in ids]

    # While the first is on its way the others wait, and go together.
    await wait_until(lambda: sum(1 + len(each.links) for each in forwards()) == 3)
    followed = [span_id for each in forwards() for span_id in (each.parent_id, *each.links)]
    assert sorted(followed) == sorted(ids)
    assert len(forwards()) < 3
    await wait_until(lambda: all(collector.of(each.trace_id, "append") for each in forwards()))


async def test_each_message_of_a_batch_has_its_own_trace(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, app_id: str
):
    traces = [traceparent() for _ in range(20)]
    url = installation.push_nodes[0].url
    async with connect(url, app_id, "g1") as gateway:
        await gateway.wait_for_code(2000)
        await asyncio.gather(
            *(send(http, installation, a_message(app_id), {"traceparent": header}) for *_, header in traces)
        )
        for trace_id, *_ in traces:
            spans = await spans_of(collector, trace_id, 4)
            assert spans.keys() == {POST, "append", "push", "store"}
        assert len(await gateway.wait_for_code(2001, 20)) == 20


async def test_a_list_of_messages_is_followed_by_the_first_of_each_app(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, redis_url: str, app_id: str
):
    trace_id, _, header = traceparent()
    other = f"{app_id}-2"
    messages = [a_message(app), a_message(app)] if (app := app_id) else []
    messages += [a_message(other)]
    await send(http, installation, {"messages": messages}, {"traceparent": header}, "send-messages")
    spans = await spans_of(collector, trace_id, 5)
    assert {name: len(found) for name, found in spans.items()} == {POST_BATCH: 1, "append": 2, "store": 2}
    assert sorted(len(each.attributes["imc.message_id"]) for each in spans["append"]) == [1, 2]
    async with Redis.from_url(redis_url) as redis:
        entries: Any = await redis.xrange(names.log(app_id))
    assert [b"t" in fields for _, fields in entries] == [True, False]


async def test_standalone_traces_what_passes_within_it(
    tmp_path: Any, collector: Collector, http: httpx.AsyncClient, app_id: str
):
    env = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "IMC_TRACES_RATIO": "1"}
    async with standalone(tmp_path, env) as deployment:
        [process] = deployment.processes
        async with connect(process.url, app_id, "g1") as gateway:
            await gateway.wait_for_code(2000)
            await gateway.send_json(a_message(app_id))
            await gateway.wait_for_code(2001)

            def frames() -> list[ReceivedSpan]:
                found = [each for each in collector.spans if each.name == "frame"]
                return [each for each in found if each.attributes["imc.app_id"] == app_id]

            [frame] = await wait_until(frames)
            spans = await spans_of(collector, frame.trace_id, 6)
    assert spans.keys() == {"frame", "forward", "POST /v1/commands/send-messages", "append", "push", "store"}
    assert {each.service for each in collector.of(frame.trace_id)} == {"imc-standalone"}


async def test_metrics_name_a_trace_of_each_bucket(
    installation: Deployment, collector: Collector, http: httpx.AsyncClient, app_id: str
):
    trace_id, _, header = traceparent()
    await send(http, installation, a_message(app_id), {"traceparent": header})
    for process in installation.processes:
        accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
        reply = await http.get(f"{process.url}/metrics", headers=accept)
        assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        families = list(text_string_to_metric_families(reply.text))
        samples = [sample for family in families for sample in family.samples]
        named = {each.exemplar.labels["trace_id"] for each in samples if each.exemplar}
        assert (trace_id in named) is (process is installation.command_apis[0])
        plain = await http.get(f"{process.url}/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert trace_id not in plain.text


async def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Any, http: httpx.AsyncClient, app_id: str):
    away = f"http://127.0.0.1:{free_port()}"
    env = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": away, "IMC_TRACES_RATIO": "1"}
    async with standalone(tmp_path, env) as deployment:
        [process] = deployment.processes
        for _ in range(20):
            await send(http, deployment, a_message(app_id), {})
        assert await process.terminate() == 0
        assert "encountered while exporting spans" in process.log


OFF_CODE = """
import sys
import imc_command_api.projector.app, imc_standalone.app
from imc_service.settings import load
from imc_service.tracing.otlp import tracing_of
from imc_service.tracing.settings import TracingSettings

assert tracing_of(load(TracingSettings, {}), "x", "1") is None
# redis-py imports the metrics of the SDK wherever that is installed.
unwanted = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google", "requests")
print([name for name in sys.modules if name.startswith(unwanted)])
"""


def test_nothing_that_makes_traces_is_imported_where_nothing_is_traced():
    made = subprocess.run([sys.executable, "-c", OFF_CODE], capture_output=True, text=True, check=True)
    assert made.stdout == "[]\n"


async def test_a_process_without_the_packages_says_what_to_install():
    code = (
        "import sys; sys.modules.update({'opentelemetry.sdk': None}); "
        "from imc_push_node.__main__ import main; sys.argv = ['imc-push-node']; main()"
    )
    env = {**OFF, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "IMC_REDIS_URL": "redis://h"}
    env["IMC_COMMAND_API_URL"] = "http://h"
    made = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], env=env, capture_output=True, text=True
    )
    assert made.returncode == 2
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: needs packages that are not installed" in made.stderr
    assert "install imc-service[tracing]" in made.stderr


async def test_a_bad_ratio_is_named():
    env = {**OFF, "IMC_TRACES_RATIO": "1.5", "IMC_REDIS_URL": "redis://h", "IMC_COMMAND_API_URL": "http://h"}
    async with Process("imc-push-node", env) as process:
        assert await process.wait() == 2
        assert "IMC_TRACES_RATIO: Input should be less than or equal to 1" in process.log
