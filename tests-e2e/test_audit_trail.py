"""The audit trail: a line for each act that only few may do, with who did it."""

import json
from pathlib import Path
from typing import Any, cast

import httpx
from imc_contracts import names
from imc_testkit.deployment import standalone
from imc_testkit.gateway import connect
from imc_testkit.tokens import JWT, SECRET, bearer
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

CONTENT = "what nobody else should read"


async def test_acts_of_few_are_logged_with_who_did_them(
    redis_url: str, database_url: str, tmp_path: Path, http: httpx.AsyncClient, app_id: str
):
    # Also where nothing else is logged.
    env = {**JWT, "IMC_LOG_LEVEL": "error", "IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url}
    headers = bearer(app_id, "send recall gateway operate", jti="token-7", sub="ann")
    async with standalone(tmp_path, env) as deployment:
        [process] = deployment.processes
        replied: list[str | None] = []

        async def post(path: str, body: Any) -> Any:
            reply = await http.post(f"{process.url}{path}", json=body, headers=headers)
            assert reply.status_code == 200, reply.text
            replied.append(reply.headers.get("x-request-id"))
            return reply.json()["data"]

        async def send() -> str:
            body = {"appId": app_id, "groupId": "g", "userId": "u", "content": CONTENT}
            return (await post("/v1/commands/send-message", body))["messageId"]

        recalled, recalled_by_java = await send(), await send()
        await post("/v1/commands/recall-message", {"appId": app_id, "messageId": recalled})
        await post("/chat/message/recall", {"messageId": recalled_by_java})
        async with Redis.from_url(redis_url) as redis:  # pyright: ignore[reportUnknownMemberType]
            fields = {"id": "1-1", "k": "m", "v": CONTENT}
            letter = cast(bytes, await redis.xadd(names.dead_letters(app_id), fields)).decode()  # pyright: ignore
        chosen = {"appId": app_id, "letterIds": [letter, "1-1"]}
        await post("/v1/dead-letters/drop", chosen)
        erasures = [
            (await post(f"/v1/commands/erase-{kind}", {"appId": app_id, **subject}))["erasureId"]
            for kind, subject in (("user", {"userId": "u"}), ("group", {"groupId": "g"}), ("app", {}))
        ]
        async with connect(process.url, app_id, "gateway-1", additional_headers=headers) as gateway:
            await gateway.wait_for_code(2000)
            await post(f"/v1/gateways/{app_id}/gateway-1/disconnect", {})

        def lines() -> list[dict[str, Any]]:
            written = [line for line in process.lines if '"audit"' in line]
            return [json.loads(line) for line in written]

        await wait_until(lambda: len(lines()) == 7)
        told = [
            {key: each[key] for key in each.keys() - {"timestamp", "address", "requestId"}}
            for each in lines()
        ]
        who = {"component": "audit", "level": "info", "service": "standalone", "appId": app_id}
        who |= {"subject": "ann", "tokenId": "token-7"}
        assert told == [
            {**who, "event": "message recalled", "messageId": recalled},
            {**who, "event": "message recalled", "messageId": recalled_by_java},
            {**who, "event": "dead letters dropped", "letterIds": [letter]},
            {**who, "event": "user erased", "userId": "u", "erasureId": erasures[0]},
            {**who, "event": "group erased", "groupId": "g", "erasureId": erasures[1]},
            {**who, "event": "app erased", "erasureId": erasures[2]},
            {**who, "event": "gateway disconnected", "gatewayId": "gateway-1", "connections": 1},
        ]
        # The ids were made for these lines: the replies that nothing was said about have none.
        ids = [each["requestId"] for each in lines()]
        assert ids == list(filter(None, replied))
        assert len(set(ids)) == len(ids)
        assert {each["address"] for each in lines()} == {"127.0.0.1"}
        for secret in (CONTENT, SECRET, headers["Authorization"].split()[1]):
            assert secret not in process.log
