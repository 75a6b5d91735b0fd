"""Checks each second what no event reports: newest batches that were lost, lost takeovers, stuck gateways.

What is checked follows what happens, not how many apps there are. Each shard has a stream of its changes. A
node reads what is new there, and looks at the apps that it names. It looks at all its apps of a shard if it
can't know what has changed.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from imc_contracts.codes import CloseCode
from imc_service import background, ticks
from imc_service.logs import get_logger
from redis.exceptions import ResponseError

from imc_push_node.cluster.takeover import Takeover, registrations
from imc_push_node.pubsub.subscriber import Subscriber
from imc_push_node.stream import changes, log_state, poll
from imc_push_node.stream.hub import App, Hub
from imc_push_node.stream.log_reader import REDIS_FAULTS
from imc_push_node.stream.recent_pages import RECENT_SECONDS

logger = get_logger("monitor")

T = TypeVar("T")

PERIOD_SECONDS = 1.0

TOUR_SECONDS = 600.0
"""How often at least all apps are looked at: nothing tells of keys that end, or are removed by hand."""

SHARDS_AT_ONCE = 32
APPS_AT_ONCE = 200
POSITION_SECONDS = 5.0
"""How often gateways that list their groups are told a position, if they were pushed nothing."""

GATEWAYS_AT_ONCE = 2000
"""How much one round trip asks about. A longer reply would delay the pushes of other apps."""


class Monitor:
    """Checks all apps of a node."""

    def __init__(
        self,
        hub: Hub,
        takeover: Takeover,
        subscriber: Subscriber,
        stall_seconds: float,
    ) -> None:
        self._hub = hub
        self._takeover = takeover
        self._subscriber = subscriber
        self._stall_seconds = stall_seconds
        self._seen: dict[int, bytes] = {}
        """Up to where the changes of each shard are known."""
        self._tours: dict[int, float] = {}
        """When all apps of each shard are looked at, whatever has changed."""
        self._busy = set[int]()
        """The shards that are being checked."""
        self._checks = set[asyncio.Task[None]]()
        self._positions_due = 0.0

    async def run(self) -> None:
        """Check each second until cancelled."""
        try:
            while True:
                await asyncio.sleep(ticks.pause(PERIOD_SECONDS))
                self._check_gateways()
                # Each master by itself: while one does not answer, the others are asked all the same.
                for shards in self._subscriber.by_master(self._hub.shards):
                    self._begin_check([shard for shard in shards if shard not in self._busy])
        finally:
            await background.end(self._checks)

    def _begin_check(self, shards: list[int]) -> None:
        if shards:
            check = asyncio.create_task(self._check(shards))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)

    async def _check(self, shards: list[int]) -> None:
        """Check the apps of shards that are on one master."""
        self._busy.update(shards)
        try:
            for some in _parts(shards, SHARDS_AT_ONCE):
                await self._check_shards(some)
        except REDIS_FAULTS as error:
            logger.debug("the logs can't be polled", fault=type(error).__name__)
        except Exception as error:
            logger.error("polling the logs failed", exc_info=error)
        finally:
            self._busy.difference_update(shards)

    async def _check_shards(self, shards: list[int]) -> None:
        ends, logs, registered = await self._what_to_look_at(shards)
        unanswered = set[int]()
        for apps in _parts(logs, APPS_AT_ONCE):
            unanswered |= await self._check_logs(apps)
        unanswered |= await self._check_registrations(registered)
        # Only now: what was not looked at, since Redis did not answer, is looked at the next time.
        self._seen |= {shard: end for shard, end in ends.items() if shard not in unanswered}

    async def _what_to_look_at(self, shards: list[int]) -> tuple[dict[int, bytes], list[App], list[App]]:
        """Where the changes end; the apps whose logs to look at, and those whose registrations.

        A shard that is just moving to another master, which can't be asked about, is left out.
        """
        self._forget_what_is_old(shards)
        # Most shards have not changed. To read the newest entry takes Redis less than to find an older one.
        newest = await self._ask_of_each(shards, changes.newest)
        ends = {shard: changes.end_of(reply) for shard, reply in newest.items()}
        changed = [shard for shard, end in ends.items() if self._seen.get(shard, end) != end]
        replies = await self._ask_of_each(changed, lambda shard: changes.since(shard, self._seen[shard]))
        news = {shard: changes.read(reply, self._seen[shard]) for shard, reply in replies.items()}
        for shard in changed:
            if shard not in news:
                del ends[shard]
        unknown = [shard for shard in ends if shard not in self._seen]
        unknown += [shard for shard, new in news.items() if new is None]
        registered = [app for shard in unknown for app in self._hub.apps_of(shard)]
        logs = {*registered, *(app for app in self._hub.busy if app.shard in ends and app.is_unsettled)}
        for shard, new in news.items():
            if new is not None:
                ends[shard] = new.end
                logs.update(self._known(new.logs))
                registered += self._known(new.gateways)
        return ends, [app for app in logs if app.delivery.outbox.has_begun], registered

    def _known(self, app_ids: Iterable[str]) -> Iterator[App]:
        return filter(None, map(self._hub.app, app_ids))

    def _forget_what_is_old(self, shards: Iterable[int]) -> None:
        """Forget up to where the changes of those shards are known whose apps are all to be looked at."""
        now = asyncio.get_running_loop().time()
        for shard in shards:
            if self._tours.get(shard, now) <= now:
                # At different times, so that the shards do not come all at once.
                self._tours[shard] = now + TOUR_SECONDS * random.uniform(0.5, 1)  # noqa: S311
                self._seen.pop(shard, None)

    async def _ask_of_each(self, shards: Sequence[int], command: Callable[[int], bytes]) -> dict[int, Any]:
        """The reply about each shard that can be asked about."""
        replies = await self._ask(shards, [command(shard) for shard in shards])
        return {
            shard: reply
            for shard, reply in zip(shards, replies, strict=True)
            if not isinstance(reply, ResponseError)
        }

    async def _check_logs(self, apps: list[App]) -> set[int]:
        """Look at the logs of apps; the shards of those that can't be asked about just now."""
        unanswered = set[int]()
        # The heads are read before Redis is asked: pushes that arrive meanwhile may be newer than its answer.
        heads = [app.delivery.outbox.head for app in apps]
        shards = [app.shard for app in apps]
        now, *answers = await self._ask(shards, [poll.TIME, *(app.poll_command for app in apps)])
        for app, head, fields in zip(apps, heads, answers, strict=True):
            if isinstance(fields, ResponseError):
                app.settled_head = None
                unanswered.add(app.shard)
                continue
            is_whole = app.follower.check(log_state.read((int(now[0]), int(now[1])), fields), head)
            app.settled_head = head if is_whole else None
        return unanswered

    async def _check_registrations(self, apps: list[App]) -> set[int]:
        """Ask about the newest gateways of apps, some at a time; returns as `_check_logs`."""
        unanswered = set[int]()
        all_gateways = [(app, gateway) for app in apps for gateway in app.newest.values()]
        for some in _parts(all_gateways, GATEWAYS_AT_ONCE):
            groups = [
                (app, [gateway for _, gateway in pairs])
                for app, pairs in itertools.groupby(some, lambda pair: pair[0])
            ]
            commands = [registrations(app.app_id, gateways) for app, gateways in groups]
            replies = await self._ask([app.shard for app, _ in groups], commands)
            for (app, gateways), scores in zip(groups, replies, strict=True):
                if isinstance(scores, ResponseError):
                    unanswered.add(app.shard)
                else:
                    await self._takeover.check(app, gateways, scores)
        return unanswered

    async def _ask(self, shards: Iterable[int], commands: list[bytes]) -> list[Any]:
        if not commands:
            return []
        return await self._subscriber.ask(shards, b"".join(commands), len(commands))

    def _check_gateways(self) -> None:
        now = asyncio.get_running_loop().time()
        self._hub.recent.forget(now - RECENT_SECONDS)
        tells_positions = now >= self._positions_due
        if tells_positions:
            self._positions_due = now + POSITION_SECONDS
        self._hub.busy.update(self._hub.forgetting.due(now))
        for app in list(self._hub.busy):
            forgets_after = app.delivery.outbox.forget(now)
            if tells_positions:
                app.delivery.tell_positions()
            for gateway in list(app.delivery.full):
                if gateway.is_stuck(now, self._stall_seconds):
                    reason = f"no progress: took nothing for {self._stall_seconds:g} seconds"
                    gateway.socket.close(CloseCode.NO_PROGRESS, reason)
            if app.is_quiet:
                self._hub.busy.discard(app)
                if forgets_after is not None:
                    self._hub.forgetting.make(app, now + forgets_after)


def _parts(items: list[T], size: int) -> Iterator[list[T]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
