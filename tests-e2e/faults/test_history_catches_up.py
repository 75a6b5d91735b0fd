"""How soon the history has what was acknowledged, after the death of what was to store it."""

import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest
from imc_testkit.deployment import Deployment, standalone
from imc_testkit.history import Answer
from imc_testkit.waiting import wait_until

OWN_AGAIN_SECONDS = 2.0
TAKEN_OVER_SECONDS = 5.0
"""What docs/guarantees.md promises."""

KILLS = 3
MESSAGES = 50


async def test_a_standalone_that_was_killed_has_all_in_its_history_soon_after_its_start(
    tmp_path: Path, http: httpx.AsyncClient, app_id: str
) -> None:
    async with standalone(tmp_path / "data") as deployment:
        [process] = deployment.processes
        for kill in range(1, KILLS + 1):
            messages = [
                {"appId": app_id, "groupId": "g", "userId": "u", "content": secrets.token_hex(8)}
                for _ in range(MESSAGES)
            ]
            reply = await http.post(f"{process.url}/v1/commands/send-messages", json={"messages": messages})
            assert all("messageId" in receipt for receipt in reply.json()["data"]), reply.text
            await process.kill()  # at once: its projector still owns all shards, and may have stored nothing
            await process.start()
            await process.ready()

            async def is_there(total: int = kill * MESSAGES) -> bool:
                parameters = {"appId": app_id, "groupId": "g"}
                page = await http.get(f"{process.url}/chat/message/findByGroupId", params=parameters)
                return page.json()["data"]["total"] == total

            await wait_until(is_there, OWN_AGAIN_SECONDS, what="all that was acknowledged")


@pytest.mark.parametrize("fault", ["kill", "hang"])
async def test_shards_of_a_projector_that_dies_or_hangs_are_stored_by_another(
    installation: Deployment, load_with: Any, fault: str
) -> None:
    victim = installation.projectors[0]
    # So many apps that each projector has shards of some.
    async with load_with(installation, apps=24, gateways=0) as load:

        async def send_to_all() -> list[str]:
            attempts = await load.clients.send_batch(
                [load.clients.draft(app_id, with_id=False) for app_id in load.app_ids]
            )
            assert {attempt.answer for attempt in attempts} == {Answer.ACKNOWLEDGED}
            return [attempt.message_id for attempt in attempts]

        await load.stores.stored(await send_to_all(), 30)
        if fault == "kill":
            await victim.kill()
        else:
            victim.pause()
        try:
            await load.stores.stored(await send_to_all(), TAKEN_OVER_SECONDS)
        finally:
            if fault == "kill":
                await victim.start()
            else:
                victim.resume()
        await victim.ready()
