"""Messages in replays that were recalled since, without their content."""

from typing import Any

import orjson
from imc_contracts import events, names
from imc_contracts.cursor import EntryId
from imc_contracts.events import RecallMark
from imc_push_node.stream.recall_marks import RecallMarks
from imc_service.redis.masters import Masters
from prometheus_client import CollectorRegistry, Counter


async def test_only_recalled_messages_lose_their_content_and_marks_made_by_hand_are_skipped(
    redis: Any, app_log: Any
) -> None:
    registry = CollectorRegistry()
    marks = RecallMarks(Masters(redis), Counter("skipped", "Marks.", registry=registry))
    kept, gone = app_log.message("kept"), app_log.message("gone")
    times = [message["createTime"] for message in (kept, gone)]
    mark = RecallMark(gone["messageId"], 77, "why")
    await redis.zadd(names.recalled(app_log.app_id), {b"by hand": min(times), mark.encode(): max(times)})
    entries = [
        events.message_sent(message).at(EntryId(number, 0)) for number, message in enumerate((kept, gone), 1)
    ]
    await marks.mask(app_log.app_id, entries, {0: kept, 1: gone})
    shown = [orjson.loads(entry.body) for entry in entries]
    assert [(each["content"], each["status"], each["recallTime"]) for each in shown] == [
        ("kept", 1, 0),
        ("", 0, 77),
    ]
    assert [entry.id for entry in entries] == [EntryId(1, 0), EntryId(2, 0)]
    assert registry.get_sample_value("skipped_total") == 1
    await marks.mask(app_log.app_id, entries, {})
