"""Erases entries of logs and dead letters. They are Redis Streams, which are copied to change them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
from imc_contracts import names
from imc_contracts.cursor import EntryId
from imc_contracts.events import (
    BODY_FIELD,
    ERASED_FIELDS,
    KIND_FIELD,
    EventKind,
    RecallMark,
    is_erased,
)
from imc_service.redis.masters import Argument, Masters

from imc_command_api.log.script import REPLICAS_MS
from imc_command_api.store.erasures import Erasure, Found

ENTRIES = 250
"""The most entries of one step."""

BYTES = 1_000_000
"""About the most bytes of one step: Redis serves nobody else meanwhile."""

_KEEP_COPY_MS = 3_600_000
"""After this time a copy that nobody goes on with is gone."""

_PACKAGE = "imc_command_api.erasure"

_Fields = Mapping[bytes, bytes]
_Rows = list[tuple[bytes, dict[bytes, bytes]]]


class StreamEraser:
    """Every method does one small step, and may be repeated. Raises what redis-py raises.

    ``ack_replicas``: how many replicas must have a stream without what is erased.
    """

    def __init__(self, masters: Masters, ack_replicas: int = 0) -> None:
        self._masters = masters
        self._ack_replicas = ack_replicas
        self._copy = masters.script(_PACKAGE, "copy.lua")
        self._replace = masters.script(_PACKAGE, "replace.lua")

    async def step_log(self, erasure: Erasure) -> tuple[int, bool]:
        """Go on with the log; tells how many entries were erased, and whether that was the last step."""
        keys = [names.log(erasure.app_id), names.log_copy(erasure.app_id, erasure.erasure_id)]

        def erases(entry_id: bytes, fields: _Fields) -> bool:
            return _is_before(erasure, entry_id) and _is_event(fields) and concerns(erasure, fields)

        return await self._step(keys, erases, may_shrink=False)

    async def step_dead_letters(self, erasure: Erasure, after: bytes) -> tuple[int, bytes | None]:
        """Delete some dead letters after one; tells how many, and the last one seen, None at the end."""
        key = names.dead_letters(erasure.app_id)
        page = await self._page(key, after, 100)
        doomed = [
            letter_id
            for letter_id, fields in page
            if _is_letter_before(erasure, fields) and concerns(erasure, fields)
        ]
        if doomed:
            await self._masters.run(key, lambda redis: redis.xdel(key, *doomed))
        return len(doomed), page[-1][0] if page else None

    async def step_compaction(self, erasure: Erasure) -> bool:
        """Go on with freeing what deleted dead letters have left; tells whether that was the last step."""
        keys = [
            names.dead_letters(erasure.app_id),
            names.dead_letters_copy(erasure.app_id, erasure.erasure_id),
        ]
        _, is_done = await self._step(keys, lambda _id, _fields: False, may_shrink=True)
        return is_done

    async def give_up_copies(self, erasure: Erasure) -> None:
        """Drop copies: Redis is out of memory, or they are not needed any more. A step begins them anew."""
        for key in (
            names.log_copy(erasure.app_id, erasure.erasure_id),
            names.dead_letters_copy(erasure.app_id, erasure.erasure_id),
        ):
            await self._masters.run(key, lambda redis, key=key: redis.unlink(key))

    async def forget_causes(self, app_id: str, found: Sequence[Found]) -> None:
        """Remove the causes of recalls from the marks that mask them. The marks stay: the log is masked."""
        key = names.recalled(app_id)
        caused = [each for each in found if each.recall_cause is not None]
        if not caused:
            return
        marks = [RecallMark(str(each.message_id), each.recall_time, each.recall_cause) for each in caused]

        async def write(redis: Any) -> None:
            scores = await redis.zmscore(key, [mark.encode() for mark in marks])
            async with redis.pipeline(transaction=False) as pipeline:
                for mark, score in zip(marks, scores, strict=True):
                    if score is not None:
                        # The new one first: the message is masked at every moment.
                        pipeline.zadd(key, {replace(mark, recall_cause=None).encode(): score})
                        pipeline.zrem(key, mark.encode())
                await pipeline.execute()

        await self._masters.run(key, write)

    async def _step(
        self, keys: Sequence[str], erases: Callable[[bytes, _Fields], bool], *, may_shrink: bool
    ) -> tuple[int, bool]:
        # Nothing is copied by this: no copy ends before its beginning.
        reached = cast(bytes, await self._copy(keys, ["", "+", _KEEP_COPY_MS, *_blank()]))
        page = await self._page(keys[0], reached, ENTRIES)
        some = _within(page, BYTES)
        erased = [entry_id for entry_id, fields in some if erases(entry_id, fields)]
        if some:
            arguments: list[Argument] = [reached, some[-1][0], _KEEP_COPY_MS, *_blank(), *erased]
            reached = cast(bytes, await self._copy(keys, arguments))
        if len(some) < len(page) or len(page) == ENTRIES:
            return len(erased), False
        # What comes from here on came after the erasure.
        arguments = [reached, ENTRIES, int(may_shrink)]
        if self._ack_replicas:
            is_done = await self._replace.replicated(
                keys, arguments, replicas=self._ack_replicas, milliseconds=REPLICAS_MS
            )
        else:
            is_done = await self._replace(keys, arguments)
        return len(erased), is_done == 1

    async def _page(self, key: str, after: bytes, count: int) -> _Rows:
        found = await self._masters.run(key, lambda redis: redis.xrange(key, b"(" + after, "+", count))
        return cast(_Rows, found)


def concerns(erasure: Erasure, fields: _Fields) -> bool:
    """Whether an entry or a dead letter is of what is erased."""
    if erasure.user_id is None and erasure.group_id is None:
        return True
    name, wanted = (
        ("userId", erasure.user_id) if erasure.user_id is not None else ("groupId", erasure.group_id)
    )
    try:
        view = orjson.loads(fields[BODY_FIELD])
        return view[name] == wanted
    except (KeyError, TypeError, ValueError):
        # No view of ours: whatever names the user or the group may be of it.
        text = b" ".join(fields.values())
        return str(wanted).encode() in text or orjson.dumps(wanted)[1:-1] in text


def _is_event(fields: _Fields) -> bool:
    """Whether it may hold what users wrote. Erasures stay: gateways have to be told of them."""
    return not is_erased(fields) and fields.get(KIND_FIELD) != EventKind.ERASURE.value


def _is_before(erasure: Erasure, entry_id: bytes) -> bool:
    """Whether the entry came before the erasure. One whose id tells no time counts as before."""
    try:
        return EntryId.parse(entry_id).column < erasure.log_id
    except ValueError:
        return True


def _is_letter_before(erasure: Erasure, letter: _Fields) -> bool:
    if (entry_id := letter.get(b"id")) is None:
        return True
    return _is_before(erasure, entry_id) and _is_event(letter)


def _blank() -> tuple[bytes, bytes]:
    ((field, value),) = ERASED_FIELDS.items()
    return field, value


def _within(page: _Rows, most: int) -> _Rows:
    """The first entries of about ``most`` bytes, at least one."""
    size = 0
    for count, (_, fields) in enumerate(page):
        size += sum(map(len, fields.values()))
        if count and size > most:
            return page[:count]
    return page
