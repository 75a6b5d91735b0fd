"""Dead letters: what was dead-lettered is shown, written once it can be, or dropped."""

from typing import Any

import pytest
from imc_command_api.dead_letters.letters import DeadLetters
from imc_command_api.store.projection import Projection
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_contracts.events import MalformedEvent
from imc_service.redis.masters import Masters
from imc_testkit.processes import Process


async def put_into_dead_letters(redis: Any, history: Any, *events: Any) -> list[str]:
    """Dead letters of events, as the projector leaves them, and one that is none."""
    app_id = history.app_id
    await redis.zadd(names.apps(names.shard_of(app_id)), {app_id: 0})
    fields = [{"k": placed.entry.kind.value, "v": placed.entry.body} for placed in events]
    fields.append({"k": "s", "v": "no json"})
    return [
        (
            await redis.xadd(
                names.dead_letters(app_id), {**some, "id": f"{place}-0", "reason": "why", "time": 7}
            )
        ).decode()
        for place, some in enumerate(fields, 1_000)
    ]


async def test_letters_are_replayed_at_their_place_and_then_gone(
    redis: Any, mariadb: Any, history: Any, tables_of: Any
):
    sent = history.message()
    ids = await put_into_dead_letters(redis, history, history.sent(sent))
    letters = DeadLetters(Masters(redis), Projection(mariadb))
    good, bad = [letter async for letter in letters.all(history.app_id)]
    assert (good.id, good.entry_id, good.kind, good.reason, good.time_ms) == (ids[0], "1000-0", "s", "why", 7)
    await letters.replay(good)
    with pytest.raises(MalformedEvent):
        await letters.replay(bad)
    assert await tables_of(mariadb).count(history.app_id) == 1
    rows = await mariadb.fetch_all("SELECT log_id FROM imc_message WHERE app_id = ?", (history.app_id,))
    assert rows == [(EntryId(1000, 0).column,)]
    assert [letter.id async for letter in letters.all(history.app_id)] == [bad.id]


async def test_the_command_lists_replays_and_drops_without_showing_what_users_wrote(
    redis_url: str, database_url: str, redis: Any, history: Any
):
    environment = {"IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url}
    ids = await put_into_dead_letters(redis, history, history.sent(history.message(content="private words")))

    async def run(action: str, *arguments: str, code: int = 0) -> str:
        arguments = ("deadletters", action, "--direct", *arguments)
        async with Process("imc", environment, arguments=arguments) as process:
            assert await process.wait() == code, process.log
            return process.log

    listed = await run("list", "--app", history.app_id)
    assert all(letter in listed for letter in ids)
    assert "private words" not in listed
    replayed = await run("replay", "--app", history.app_id, "--all", code=1)
    assert f"{ids[1]} of {history.app_id} stays: MalformedEvent" in replayed
    assert "1 done, 1 not" in replayed
    assert "1 done, 0 not" in await run("drop", "--app", history.app_id, ids[1])
    assert ids[1] not in await run("list", "--app", history.app_id)


async def test_it_says_which_settings_are_missing():
    async with Process("imc", {}, arguments=("deadletters", "list", "--direct")) as process:
        assert await process.wait() == 2
        assert "IMC_REDIS_URL: is missing" in process.log
