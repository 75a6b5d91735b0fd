"""No call without a good token: every call of the contract, with every token that is none."""

import asyncio

import httpx
import jwt
import pytest
from imc_contracts.log_changes import PATH as LOG_CHANGES
from imc_contracts.scopes import Scope
from imc_push_node.http.events import PATH as EVENTS
from imc_push_node.http.node import PATH as NODE
from imc_push_node.http.roster import DISCONNECT_PATH
from imc_push_node.http.roster import PATH as ROSTER
from imc_service.auth.service_tokens import COMMAND_API, QUERY_API, ServiceToken
from imc_testkit.calls import CALLS, COMMANDS, OPERATOR_CALLS, Call
from imc_testkit.deployment import Deployment
from imc_testkit.tokens import (
    EVERY_SCOPE,
    SECRET,
    SERVICE_SECRET,
    bad_tokens,
    bearer,
    claims_of,
    token,
)
from pydantic import SecretStr

CHANGES = {"appId": "app", "after": "0-0", "before": "9-0", "notices": "0", "limit": "1"}


def refused(reply: httpx.Response) -> tuple[int, int]:
    """Status and code of a refusal, which has nothing else."""
    body = reply.json()
    assert (body["success"], body["data"]) == (False, None)
    return reply.status_code, body["code"]


async def test_no_call_is_left_out_here(guarded: Deployment, stranger: httpx.AsyncClient):
    described: set[str] = set()
    for process in (*guarded.command_apis, *guarded.query_apis):
        described |= set((await stranger.get(process.url + "/openapi.json")).json()["paths"])
    # Those of operations are open; those of push-node are called in the tests of gateways and of operators.
    open_to_all = {"/livez", "/readyz", "/metrics"}
    of_push_node = {path.replace(":path", "") for path in (NODE, ROSTER, EVENTS, DISCONNECT_PATH)}
    others = {*open_to_all, *of_push_node, LOG_CHANGES}
    assert described - others == {call.path for call in (*CALLS, *OPERATOR_CALLS)}


@pytest.mark.parametrize("call", [*CALLS, *OPERATOR_CALLS], ids=lambda call: call.name)
async def test_no_bad_token_is_let_in(guarded: Deployment, stranger: httpx.AsyncClient, call: Call):
    async def is_refused(name: str, bad: str) -> None:
        reply = await call.make(guarded, stranger, {b"Authorization": f"Bearer {bad}".encode()})
        assert refused(reply) == (401, call.code(40101)), name
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert bad not in reply.text or len(bad) < 6

    await asyncio.gather(*(is_refused(*each) for each in bad_tokens("app", call.scope).items()))
    for headers in ({}, {"Authorization": f"Basic {token()}"}, {"Cookie": f"access_token={token()}"}):
        assert refused(await call.make(guarded, stranger, headers)) == (401, call.code(40101))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
async def test_a_token_allows_its_scopes_and_its_apps_alone(
    guarded: Deployment, stranger: httpx.AsyncClient, call: Call
):
    others = " ".join(set(EVERY_SCOPE.split()) - {call.scope})
    for scope in ("", others, call.scope.upper(), f"{call.scope}s", f"un{call.scope}", f"x:{call.scope}"):
        reply = await call.make(guarded, stranger, bearer("*", scope))
        assert refused(reply) == (403, call.code(40301))
        assert call.scope in reply.json()["message"]
    for apps in ("other", ["other", "another"], "APP", "App", "app.", "ap", "app~", []):
        reply = await call.make(guarded, stranger, bearer(apps))
        if call.place == "batch":
            (item,) = reply.json()["data"]
            assert (item["code"], item["data"]) == (40301, None)
        elif "appId" not in call.values:
            # What belongs to an app that the token does not cover is as absent as what never was.
            assert refused(reply) == (200, -1)
        else:
            assert refused(reply) == (403, call.code(40301))
            assert reply.json()["message"] == "the token does not cover this app"
    for apps in ("app", ["other", "app"], "*"):
        reply = await call.make(guarded, stranger, bearer(apps, call.scope))
        assert reply.status_code in (200, 404), reply.text
        assert reply.json()["code"] in (0, call.code(40401), call.code(40402))


async def test_a_bad_item_of_a_batch_fails_alone(
    guarded: Deployment, stranger: httpx.AsyncClient, app_id: str
):
    message = {"groupId": "g", "userId": "u", "content": "c"}
    messages = [{**message, "appId": app} for app in (app_id, f"{app_id}-foreign", " a", app_id)]
    reply = await stranger.post(
        guarded.command_apis[0].url + "/v1/commands/send-messages",
        json={"messages": messages},
        headers=bearer(app_id, "send"),
    )
    first, foreign, malformed, last = reply.json()["data"]
    assert (foreign["success"], foreign["code"], malformed["code"]) == (False, 40301, 40001)
    assert int(last["messageId"]) > int(first["messageId"])


async def test_what_tells_of_the_process_is_open(guarded: Deployment, stranger: httpx.AsyncClient):
    for process in guarded.processes:
        for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
            assert (await stranger.get(process.url + path)).status_code == 200, (process.script, path)
    for process in (*guarded.command_apis, *guarded.query_apis):
        assert (await stranger.get(process.url + "/docs")).status_code == 200
        assert refused(await stranger.get(process.url + "/no/such/path")) == (401, 40101)
        assert refused(await stranger.get(process.url + "/no/such/path", headers=bearer())) == (404, 40400)
    for path in ("/console/", "/console/main.js", "/console/views/live.js"):
        assert (await stranger.get(guarded.query_apis[0].url + path)).status_code == 200
    assert refused(await stranger.get(guarded.query_apis[0].url + "/console/none")) == (404, 40400)


async def test_calls_between_services_are_for_services(
    guarded_separate: Deployment, stranger: httpx.AsyncClient
):
    url = guarded_separate.query_apis[0].url + LOG_CHANGES

    async def ask(headers: dict[str, str]) -> tuple[int, int]:
        reply = await stranger.get(url, params=CHANGES, headers=headers)
        return reply.status_code, reply.json()["code"]

    def signed(audience: str, scope: Scope, secret: str = SERVICE_SECRET) -> dict[str, str]:
        return ServiceToken(SecretStr(secret), audience, scope).headers()

    assert await ask(signed(QUERY_API, Scope.INTERNAL)) == (200, 0)
    assert await ask({}) == (401, 40101)
    assert await ask(bearer("*", f"{EVERY_SCOPE} internal")) == (403, 40301)
    assert await ask(signed(QUERY_API, Scope.SEND)) == (403, 40301)
    assert await ask(signed(COMMAND_API, Scope.INTERNAL)) == (401, 40101)
    assert await ask(signed(QUERY_API, Scope.INTERNAL, SECRET)) == (401, 40101)
    untyped = jwt.encode({**claims_of(), "aud": QUERY_API, "scope": "internal"}, SERVICE_SECRET, "HS256")
    assert await ask({"Authorization": f"Bearer {untyped}"}) == (401, 40101)
    create = COMMANDS[0]
    reply = await create.make(guarded_separate, stranger, signed(QUERY_API, Scope.INTERNAL))
    assert refused(reply) == (401, 40101)
    for scope in (Scope.INTERNAL, Scope.READ):
        reply = await create.make(guarded_separate, stranger, signed(COMMAND_API, scope))
        assert refused(reply) == (403, 40301)


async def test_standalone_has_no_calls_between_services(
    guarded_standalone: Deployment, standalone_process: Deployment, stranger: httpx.AsyncClient
):
    for deployment in (guarded_standalone, standalone_process):
        (process,) = deployment.processes
        token_of_service = ServiceToken(SecretStr(SERVICE_SECRET), QUERY_API, Scope.INTERNAL).headers()
        for headers, code in ((bearer(), 40400), (token_of_service, 40101)):
            reply = await stranger.get(process.url + LOG_CHANGES, params=CHANGES, headers=headers)
            asked = code if deployment is guarded_standalone else 40400
            assert reply.json()["code"] == asked
