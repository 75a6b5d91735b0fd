"""A Redis in memory: as much of one as the logs of apps need.

For tests that go through thousands of turns of events; one contract suite holds for it and the real one.
Faults are brought about by its attributes. Nothing expires here.
"""

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from imc_contracts import names
from imc_contracts.cursor import ORIGIN, EntryId
from redis.exceptions import ConnectionError as Unreachable

Work = Callable[[], Any]
Fields = dict[bytes, bytes]


class _Commands:
    """What the keys hold, and redis-py's methods on them. Each is one step, as within the real one."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self.strings: dict[str, bytes] = {}
        self.hashes: defaultdict[str, Fields] = defaultdict(dict)
        self.streams: defaultdict[str, list[tuple[EntryId, Fields]]] = defaultdict(list)
        self.last_ids: dict[str, EntryId] = {}
        """Of each stream the newest id it gave, also when it holds nothing any more."""
        self.sets: defaultdict[str, dict[bytes, float]] = defaultdict(dict)
        self.on_publish: Callable[[str, bytes], None] = lambda _channel, _payload: None
        """Called with each message, in order."""

    def time(self) -> tuple[int, int]:
        now = self._clock_ms()
        return now // 1000, now % 1000 * 1000

    def spublish(self, channel: str, payload: bytes | str) -> None:
        self.on_publish(channel, _bytes(payload))

    def hmget(self, key: str, fields: Sequence[str]) -> list[bytes | None]:
        return [self.hashes[key].get(field.encode()) for field in fields]

    def hsetnx(self, key: str, field: str, value: str) -> None:
        self.hashes[key].setdefault(field.encode(), value.encode())

    def xadd(self, key: str, fields: dict[Any, bytes | str], maxlen: int | None = None) -> EntryId:
        at = max(EntryId(self._clock_ms(), 0), self.last_ids.get(key, ORIGIN).following)
        entries = self.streams[key]
        entries.append((at, {_bytes(name): _bytes(value) for name, value in fields.items()}))
        self.last_ids[key] = at
        if maxlen is not None:
            del entries[: max(0, len(entries) - maxlen)]
        return at

    def xrange(
        self, key: str, min: str | bytes = "-", max: str | bytes = "+", count: int | None = None
    ) -> list[tuple[bytes, Fields]]:
        lowest = ORIGIN if min == "-" else EntryId.parse(min)
        highest = None if max == "+" else EntryId.parse(max)
        found = [
            (str(at).encode(), dict(fields))
            for at, fields in self.streams[key]
            if lowest <= at and (highest is None or at <= highest)
        ]
        return found[:count]

    def xrevrange(self, key: str, count: int) -> list[tuple[bytes, Fields]]:
        return self.xrange(key)[: -count - 1 : -1]

    def zadd(self, key: str, members: dict[Any, float], gt: bool = False) -> None:
        scores = self.sets[key]
        for member, score in members.items():
            name = _bytes(member)
            scores[name] = max(score, scores.get(name, score)) if gt else score

    def zincrby(self, key: str, amount: float, member: str) -> float:
        scores = self.sets[key]
        scores[member.encode()] = scores.get(member.encode(), 0) + amount
        return scores[member.encode()]

    def pexpire(self, key: str, milliseconds: int) -> None:
        """Nothing lasts as long as that here."""

    def zscore(self, key: str, member: str) -> float | None:
        return self.sets[key].get(member.encode())

    def zmscore(self, key: str, members: Sequence[str]) -> list[float | None]:
        return [self.zscore(key, member) for member in members]

    def zrangebyscore(self, key: str, min: float, max: float) -> list[bytes]:
        found = [(score, member) for member, score in self.sets[key].items() if min <= score <= max]
        return [member for _, member in sorted(found)]

    def zremrangebyscore(self, key: str, min: float | str, max: float | str) -> None:
        for member in self.zrangebyscore(key, float(min), float(max)):
            del self.sets[key][member]


class Keys(_Commands):
    """All that is held, whoever its clients are."""

    def trim(self, app_id: str, keep: int) -> list[EntryId]:
        """Forget all but the newest ``keep`` entries of a log; the places of the others."""
        entries = self.streams[names.log(app_id)]
        cut = max(0, len(entries) - keep)
        gone, entries[:cut] = [at for at, _ in entries[:cut]], []
        return gone

    def snapshot(self) -> Any:
        """All that is held now, as a replica may keep it."""
        return copy.deepcopy(self._held)

    def restore(self, snapshot: Any) -> None:
        """Hold what was held then: a replica that was late has taken over."""
        for now, then in zip(self._held, copy.deepcopy(snapshot), strict=True):
            now.clear()
            now.update(then)

    def empty(self) -> None:
        """Forget everything."""
        for held in self._held:
            held.clear()

    @property
    def _held(self) -> tuple[dict[str, Any], ...]:
        return self.strings, self.hashes, self.streams, self.last_ids, self.sets

    def append(self, keys: Sequence[str], args: Sequence[Any]) -> bytes | list[bytes | int]:
        """What ``append.lua`` does for an app without quotas, whose log may begin."""
        channel, epoch, most, _, _, app_id, *_ = (str(arg) for arg in args[:12])
        state = self.hashes[keys[1]]
        known = state.get(b"epoch")
        count = int(args[12])
        writes = [args[at : at + count] for at in range(13, len(args), count)]
        waiting = int(state.get(b"waiting", 0))
        if waiting + len(writes) > int(most):
            return b"full"
        word = known or epoch.encode()
        lines = [b"%b %b" % (word, state.get(b"last", b"0-0"))]
        results = [self._append_one(keys, app_id, write, lines) for write in writes]
        if len(lines) > 1:
            first, last = (lines[at].partition(b" ")[0] for at in (1, -1))
            state |= {b"epoch": word, b"last": last, b"waiting": b"%d" % (waiting + len(lines) - 1)}
            state.setdefault(b"born", first)
            self.xadd(keys[5], {"a": app_id}, int(args[11]))
            self.spublish(channel, b"\n".join(lines))
        return [word, 0, *results]

    def _append_one(
        self, keys: Sequence[str], app_id: str, write: Sequence[Any], lines: list[bytes]
    ) -> bytes:
        kind, body, id_, recent_place, *more = write
        sent_place, receipt, mark = more or (0, "", b"")
        recent, member_id = self.hashes[keys[int(recent_place) - 1]], b"%d" % id_
        sent = keys[int(sent_place) - 1] if sent_place else ""
        retired = b"%b %b" % (member_id, app_id.encode()) if kind in (b"r", b"d") else None
        if sent in self.strings:
            return b"=" + self.strings[sent]
        if retired in recent:
            return b"x"
        entry = str(self.xadd(keys[0], {b"k": kind, b"v": body})).encode()
        lines.append(b"%b %b %b" % (entry, kind, body))
        if sent:
            self.strings[sent] = b"%b %b" % (receipt.encode(), entry)
        recent[retired or member_id] = entry
        if mark:
            score, member = mark.split(b" ", 1)
            self.zadd(keys[2], {member: float(score)})
        return entry


class MemoryRedis:
    """A client of one; to be cast to redis-py's. Each round trip takes ``latency`` seconds each way."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        self.latency = 0.0
        self.is_reachable = True
        self.connection_pool = SimpleNamespace(connection_kwargs={})
        """Says that the database is the first."""

    def __getattr__(self, command: str) -> Callable[..., Any]:
        work = getattr(self.keys, command)
        return lambda *args, **options: self.call(partial(work, *args, **options))

    async def execute_command(self, name: str, _sha: str, count: int, *arguments: Any) -> Any:
        """The append script, whatever the text: logs know no other."""
        assert name == "EVALSHA"
        return await self.call(lambda: self.keys.append(arguments[:count], arguments[count:]))

    def pipeline(self, transaction: bool = True) -> "_Pipeline":
        """Commands that go together."""
        return _Pipeline(self)

    async def call(self, work: Work) -> Any:
        """One round trip: what fails on the way back was done all the same."""
        await self._travel()
        result = work()
        await self._travel()
        return result

    async def _travel(self) -> None:
        await asyncio.sleep(self.latency)
        if not self.is_reachable:
            raise Unreachable("out of reach")


class _Pipeline:
    def __init__(self, redis: MemoryRedis) -> None:
        self._redis = redis
        self._commands: list[Work] = []

    async def __aenter__(self) -> "_Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._commands.clear()

    def __getattr__(self, command: str) -> Callable[..., None]:
        call = getattr(self._redis.keys, command)
        return lambda *args, **options: self._commands.append(partial(call, *args, **options))

    def execute_command(self, name: str, *arguments: Any) -> None:
        """A command by its name, which the method of that name carries out."""
        self._commands.append(partial(getattr(self._redis.keys, name.lower()), *arguments))

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """What each command answers; a command that fails raises in any case."""
        commands, self._commands = self._commands, []
        return await self._redis.call(lambda: [command() for command in commands])


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
