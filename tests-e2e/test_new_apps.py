"""A token for all apps makes no more apps than the quota of new ones allows; those that are there go on."""

import json
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import standalone
from imc_testkit.gateway import connect


def send(app_id: str) -> dict[str, str]:
    return {"appId": app_id, "groupId": "g", "userId": "u", "content": "c"}


async def test_new_apps_beyond_the_quota(http: httpx.AsyncClient, tmp_path_factory: pytest.TempPathFactory):
    limits = {"IMC_NEW_APPS_PER_HOUR": "5"}
    async with standalone(tmp_path_factory.mktemp("new-apps"), limits) as deployment:
        url = deployment.command_apis[0].url

        async def post(path: str, body: Any) -> httpx.Response:
            return await http.post(url + path, json=body)

        for number in range(4):
            assert (await post("/v1/commands/send-message", send(f"app-{number}"))).status_code == 200
        messages = [send(f"app-{number}") for number in (0, 4, 5)]
        batch = (await post("/v1/commands/send-messages", {"messages": messages})).json()["data"]
        known, *new = [item.get("code", 0) for item in batch]
        assert (known, sorted(new)) == (0, [0, 42901])
        for path in ("/v1/commands/send-message", "/v1/commands/publish-notice"):
            refused = await post(path, send("app-6"))
            assert (refused.status_code, refused.json()["code"]) == (429, 42901)
            assert "5 new apps" in refused.json()["message"]
            assert 0 < int(refused.headers["Retry-After"]) <= 720
        async with connect(url, "app-7", "g") as gateway, connect(url, "app-1", "g") as known:
            await gateway.wait_for_code(2000)
            await known.wait_for_code(2000)
            await gateway.send_text(json.dumps({**send("app-7"), "clientMessageId": "mine"}))
            [answer] = await gateway.wait_for_code(4001)
            assert 0 < answer["data"].pop("retryAfter") <= 720_000
            assert answer["data"] == {"error": 42901, "retryable": True, "clientMessageId": "mine"}
            assert "new apps" in answer["message"]
            await known.send_text(json.dumps(send("app-1")))
            await known.wait_for_code(2001)
