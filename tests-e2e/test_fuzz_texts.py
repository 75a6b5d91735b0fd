"""Any text at all goes through the whole journey as it is, is a command nowhere, and is left in no log."""

import asyncio
import os
import secrets
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from imc_testkit.calls import CALLS, Call
from imc_testkit.deployment import Deployment
from imc_testkit.tokens import SECRET, SERVICE_SECRET, bearer
from imc_testkit.wire_fuzz import INJECTIONS

SECONDS = float(os.environ.get("FUZZ_MINUTES", "0")) * 60
SEED = int(os.environ.get("FUZZ_SEED", "1"))
TOGETHER = 40

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)

_ODD = (
    "\x00",
    "\\",
    "'",
    '"',
    "%",
    "\u0301",
    "\u200d",
    "\u202e",
    "\ufeff",
    "\uffff",
    "\U0001f468",
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(_ODD), max_size=200)
_NAME = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=60)
MORE = {
    "command": ("clientMessageId", "recallCause", "title", "jumpUrl", "type"),
    "query": ("startTime", "endTime", "pageNum", "pageSize", "withTotal", "limit", "before", "after"),
}

LISTS = {"messages", "groups", "notices", "pageMessageList", "pageInformationList"}


def drawn(number: int) -> list[tuple[str, str]]:
    """Texts, each with a name, other ones for each ``number``."""
    found: list[tuple[str, str]] = []

    @seed(SEED + number)
    @settings(
        max_examples=TOGETHER, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(_TEXT, _NAME)
    def draw(text: str, name: str) -> None:
        found.append((text, name))

    draw()
    return found


async def journey(client: Any, app_id: str, group_id: str, texts: list[tuple[str, str]]) -> None:
    """Send the texts by calls and by frames; what is pushed and stored is what was sent."""
    notice = {"appId": app_id, "groupId": group_id, "userId": texts[0][1], "title": texts[0][0][:255]}
    async with client.gateway(app_id, "g", notices=True) as gateway:
        await gateway.wait_for_code(2000)
        sent = [await client.send(app_id, text, groupId=group_id, userId=name) for text, name in texts[::2]]
        await gateway.send_json(
            [{"groupId": group_id, "userId": name, "content": text} for text, name in texts[1::2]]
        )
        pushed = await gateway.wait_for_code(2001, len(texts))
        stored = await client.history(app_id, group_id, total=len(texts))
        for found in ([frame["data"] for frame in pushed], stored):
            assert sorted((each["content"], each["userId"]) for each in found) == sorted(texts)
            assert {each["groupId"] for each in found} == {group_id}
        cause = texts[-1][0][:255]
        await client.post(
            "/v1/commands/recall-message",
            {"appId": app_id, "messageId": sent[0]["messageId"], "recallCause": cause},
        )
        assert (await gateway.wait_for_code(2002))[0]["data"]["recallCause"] == cause
        published = await client.post("/v1/commands/publish-notice", {**notice, "content": texts[0][0]})
        assert published["success"], published
        told = (await gateway.wait_for_code(2004))[0]["data"]
        read = await client.get("/notice/information/findByGroupId", appId=app_id, groupId=group_id)
        for found in (told, read["data"]["pageInformationList"][0]):
            assert (found["title"], found["content"]) == (notice["title"], texts[0][0])
        assert gateway.with_code(4001) == []


async def test_any_text_is_pushed_and_stored_as_it_was_sent(client: Any):
    end, number = time.monotonic() + SECONDS / 2, 0
    while number == 0 or time.monotonic() < end:
        texts = await asyncio.get_running_loop().run_in_executor(None, drawn, number)
        await journey(client, f"app-{secrets.token_hex(6)}", texts[-1][1], texts)
        number += 1


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_no_parameter_of_any_call_is_a_command(
    deployment: Deployment, http: httpx.AsyncClient, call: Call, app_id: str
):
    names = (*call.values, *MORE[call.kind])
    made = replace(call, values=names)
    # Any text may be an appId: what commands write must not be what queries look for.
    written = {"groupId": "written", "userId": "written"} if call.kind == "command" else {}
    usual: dict[str, Any] = {"appId": app_id, **written, **dict.fromkeys(MORE[call.kind])}

    async def attempt(name: str, text: str) -> None:
        reply = await made.make(deployment, http, {}, **{**usual, name: text})
        answer = reply.json()
        assert reply.status_code < 500, (name, text, answer)
        assert set(answer) == {"success", "code", "message", "data"}
        if call.kind == "query" and answer["success"]:
            found = answer["data"]
            lists = [found] if isinstance(found, list) else [found[key] for key in LISTS & found.keys()]
            assert lists == [[]], (name, text)
            assert isinstance(found, list) or not found.get("total"), (name, text)

    await asyncio.gather(*(attempt(name, text) for name in names for text in INJECTIONS))


@pytest.mark.parametrize("deployment", ["separate"], indirect=True)
async def test_no_log_has_what_was_sent_or_by_whom(client: Any, http: httpx.AsyncClient, app_id: str):
    mark = secrets.token_hex(8)
    texts = [(f"content-{mark} \n{text}", f"user-{mark}") for text in INJECTIONS]
    await journey(client, app_id, f"group-{mark}", texts)
    refused = await client.post("/v1/commands/send-message", {"appId": app_id, "content": f"content-{mark}"})
    assert refused["code"] == 40001
    tokens = [http.headers["Authorization"].split()[1], bearer(app_id)["Authorization"].split()[1]]
    await http.get(client.deployment.query_apis[0].url + f"/{mark}", params={"access_token": tokens[1]})
    for process in client.deployment.processes:
        # The audit trail names apps and ids, but no user, and nothing that one wrote.
        lines = process.log.splitlines()
        log = "\n".join(line for line in lines if '"component": "audit"' not in line)
        for secret in (mark, SECRET, SERVICE_SECRET, *tokens, *(each[-30:] for each in tokens)):
            assert secret not in process.log, process.script
        assert app_id not in log, process.script
        assert "password" not in process.log.lower()
