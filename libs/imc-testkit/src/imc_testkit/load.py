"""Random, recorded load on an installation: clients send, gateways connect, stall and reconnect."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Sequence
from random import Random
from typing import Any

import httpx

from imc_testkit.checker import Report, check
from imc_testkit.clients import REPLY_SECONDS, Clients, Draft
from imc_testkit.deployment import Deployment
from imc_testkit.gateways import RecordedGateway
from imc_testkit.history import Attempt, History, Row
from imc_testkit.recorded_events import RecordedPoll, RecordedStream
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

SENDERS_PER_APP = 3
PAUSE_SECONDS = 0.05
"""Between two requests of a sender, on average."""

DISTURBANCE_SECONDS = 0.3
"""Between two disturbances of a gateway (a dropped connection or a stall), on average."""

LATE_SECONDS = 5.0
"""How long an entry that came late may take to be stored and pushed."""

_LISTED, _CHANGING = ("group 0", "group 1"), "group 2"
"""The groups of a gateway that lists some, and the one that it adds and removes under load."""

_ERASE_SHARE = 0.3
_MAX_REPEATS = 200
_MAX_LOOKS = 20


class Load:
    """Senders, and gateways that connect and reconnect. Use `load_on` to make one."""

    def __init__(
        self,
        deployment: Deployment,
        stores: Stores,
        http: httpx.AsyncClient,
        seed: int,
        app_ids: Sequence[str],
        gateways: int,
        listed: int = 0,
        readers: int = 0,
    ) -> None:
        self.history = History(seed)
        self.stores = stores
        self.clients = Clients(deployment, http, self.history)
        self.rows: list[Row] = []
        """The message table at the end of the run."""
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret
        self._nodes = [process.url for process in deployment.push_nodes]
        self.app_ids = list(app_ids)
        self.gateways = [
            RecordedGateway(self._nodes, self.history, self.clients, app_id, f"g{number}", number)
            for app_id in self.app_ids
            for number in range(gateways)
        ]
        self.gateways += [
            RecordedGateway(
                self._nodes, self.history, self.clients, app_id, f"listed{number}", number, groups=_LISTED
            )
            for app_id in self.app_ids
            for number in range(listed)
        ]
        self.gateways += [
            kind(self._nodes, self.history, self.clients, app_id, f"{kind.__name__}{number}", number)
            for kind in (RecordedStream, RecordedPoll)
            for app_id in self.app_ids
            for number in range(readers)
        ]
        self._tasks: dict[str, list[asyncio.Task[None]]] = {"gateways": [], "senders": [], "recalls": []}
        self._repeat: list[Draft] = []
        self._is_over = False
        self._replays_since = 0.0

    @property
    def acknowledged(self) -> int:
        """How many sends were acknowledged so far, repeated ones included."""
        return self.history.acknowledgements

    async def more(self, count: int, timeout: float = 30.0) -> None:
        """Wait until ``count`` more sends are acknowledged."""
        goal = self.acknowledged + count

        def is_reached() -> bool:
            for task in self._tasks["senders"]:
                if task.done():
                    task.result()
            return self.acknowledged >= goal

        await wait_until(is_reached, timeout, 0.02, what=f"{count} more sends")

    def note(self, text: str) -> None:
        """Record in the history what is done to the installation."""
        self.history.notes.append(f"{time.monotonic():.3f} {text}")

    @contextlib.contextmanager
    def database_outage(self) -> Generator[None]:
        """Record that the database is unavailable for the duration of the context."""
        began = time.monotonic()
        yield
        self.history.database_outages.append((began, time.monotonic()))

    async def connect(self) -> None:
        """Connect the gateways, and wait until all are connected."""
        for gateway in self.gateways:
            self._start("gateways", gateway.run())
        await wait_until(
            lambda: all(gateway.connection for gateway in self.gateways), what="all gateways to connect"
        )

    def begin(self, *, disturb: bool = True) -> None:
        """Start the senders. With ``disturb``, also drop and stall gateways at random."""
        self._is_over = False
        for at, app_id in enumerate(self.app_ids):
            for number in range(SENDERS_PER_APP):
                random = Random(f"{self.history.seed}/{at}/{number}")  # noqa: S311
                self._start("senders", self._keep_sending(app_id, random))
        if disturb:
            self._start("senders", self._disturb_gateways())

    async def pause(self, timeout: float = 30.0) -> None:
        """Stop sending, repeat sends with an unknown result, and wait until all gateways have everything."""
        self._is_over = True
        for name in ("senders", "recalls"):
            tasks, self._tasks[name] = self._tasks[name], []
            await asyncio.gather(*tasks)
        for gateway in self.gateways:
            gateway.resume_reading()
        async with asyncio.timeout(timeout):
            while waiting := [draft for draft in self._repeat if draft.is_repeatable]:
                await self.clients.send_batch(waiting[:_MAX_REPEATS])
                await asyncio.sleep(PAUSE_SECONDS)
        self._repeat.clear()
        await self.stores.projected(self.app_ids, timeout)
        await self._gateways_caught_up(timeout)

    async def finish(self, timeout: float = 30.0) -> Report:
        """`pause`, replay each log once more from the beginning, and check the run."""
        await self.pause(timeout)
        await self._replay(timeout)
        return await self.judge()

    async def judge(self) -> Report:
        """Check the run as it is now. Gateways that are connected must have received everything.

        A push-node tries a gateway's send again for some seconds, so that entries may come even now. What is
        checked is of one moment: no entry came between the frames, the rows and the dead letters.
        """
        for gateway in self.gateways:
            if gateway.connection is not None:
                gateway.connection.is_caught_up = True
        for _ in range(_MAX_LOOKS):
            ends = await self._ends_of_logs()
            report = await self._look()
            if ends == await self._ends_of_logs():
                return report
        return await self._look()

    async def _look(self) -> Report:
        with contextlib.suppress(AssertionError):  # if it does not catch up, it is checked as it is
            await self.stores.projected(self.app_ids, LATE_SECONDS)
            await self._gateways_caught_up(LATE_SECONDS)
        history = self.history.copy()
        self.rows = await self.stores.rows(self.app_ids)
        groups = await self.stores.groups(self.app_ids)
        return check(history, self.rows, await self.stores.dead_letters(self.app_ids), groups)

    async def _ends_of_logs(self) -> list[str]:
        return [await self.stores.end_of_log(app_id) for app_id in self.app_ids]

    async def close(self) -> None:
        """Stop all tasks."""
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name].append(asyncio.create_task(work))

    async def _keep_sending(self, app_id: str, random: Random) -> None:
        mine = [gateway for gateway in self.gateways if gateway.app_id == app_id]
        while not self._is_over:
            with_id = random.random() < 0.7
            drafts = [
                self.clients.draft(app_id, with_id=with_id) for _ in range(random.choice((1, 1, 1, 1, 2, 12)))
            ]
            repeated = [draft for draft in self._repeat[:5] if draft.body["appId"] == app_id]
            if mine and random.random() < 0.3:
                await random.choice(mine).send(drafts)
            elif len(drafts) + len(repeated) > 1:
                await self.clients.send_batch([*drafts, *repeated])
            else:
                await self._recall_some(await self.clients.send(drafts[0]), app_id, random)
            if with_id:
                self._repeat += drafts
            self._repeat = [draft for draft in self._repeat if draft.is_repeatable]
            if random.random() < 0.05:
                await self.clients.read(app_id, drafts[0].send.group_id)
            await asyncio.sleep(random.expovariate(1 / PAUSE_SECONDS))

    async def _recall_some(self, attempt: Attempt, app_id: str, random: Random) -> None:
        """Recall some messages, at once or a little later, sometimes twice at the same time."""
        if attempt.message_id is None or random.random() > 0.3:
            return
        for _ in range(random.choice((1, 1, 2))):
            pause, named = random.choice((0.0, 0.0, 0.5)), random.random() < 0.7
            self._start("recalls", self._recall(app_id, attempt.message_id, pause, named))

    async def _recall(self, app_id: str, message_id: str, pause: float, named: bool) -> None:
        await asyncio.sleep(pause)
        await self.clients.recall(app_id, message_id, named=named)

    async def _disturb_gateways(self) -> None:
        random = self._random
        while not self._is_over:
            gateway = random.choice(self.gateways)
            if gateway.lists_groups and random.random() < 0.5:
                is_added = random.random() < 0.5
                change = {"add" if is_added else "remove": [_CHANGING]}
                await gateway.change_groups(**change)
            elif random.random() < 0.5:
                gateway.drop()
            else:
                gateway.stall()
                self._start("recalls", self._resume_later(gateway, random.uniform(0.1, 1.0)))
            await asyncio.sleep(random.expovariate(1 / DISTURBANCE_SECONDS))

    async def _resume_later(self, gateway: RecordedGateway, seconds: float) -> None:
        await asyncio.sleep(seconds)
        gateway.resume_reading()

    async def _gateways_caught_up(self, timeout: float) -> None:
        for app_id in self.app_ids:
            mine = [gateway for gateway in self.gateways if gateway.app_id == app_id]

            async def have_caught_up(app_id: str = app_id, mine: list[RecordedGateway] = mine) -> bool:
                # Read each time: messages that gateways sent may still be on their way to the log.
                end = await self.stores.end_of_log(app_id)
                for gateway in mine:
                    if gateway.lists_groups and gateway.cursor != end:
                        await gateway.change_groups()  # its answer tells the position
                return all(gateway.connection and (gateway.cursor == end or not end) for gateway in mine)

            await wait_until(have_caught_up, timeout, 0.05, what=f"the gateways of {app_id} to catch up")

    async def sometimes_erase(self, random: Random) -> bool:
        """Erase a group of an app, or not; tells whether. `erasures_done` waits until that is carried out.

        Nothing may fail meanwhile, so that the answer is known.
        """
        if random.random() > _ERASE_SHARE:
            return False
        await self.clients.erase(random.choice(self.app_ids), group_id=_LISTED[0])
        return True

    async def erasures_done(self, timeout: float = 60.0) -> None:
        """Wait until all erasures are carried out."""
        for app_id in self.app_ids:
            await self.clients.erased(app_id, timeout)

    def replay_from_here(self) -> None:
        """Replay only from here on: an older log has taken over, and can't replay what it lacks."""
        self._replays_since = time.monotonic()

    async def _replay(self, timeout: float) -> None:
        """Connect one more gateway per app that resumes from the first cursor: it must get everything."""
        for app_id in self.app_ids:
            first = next(
                (
                    frame.cursor
                    for connection in self.history.connections
                    for frame in connection.frames
                    if connection.app_id == app_id and frame.at > self._replays_since
                ),
                None,
            )
            late = RecordedGateway(self._nodes, self.history, self.clients, app_id, "late", cursor=first)
            self.gateways.append(late)
            self._start("gateways", late.run())
        await self._gateways_caught_up(timeout)


@contextlib.asynccontextmanager
async def load_on(
    deployment: Deployment,
    stores: Stores,
    *,
    seed: int,
    apps: int | Sequence[str] = 2,
    gateways: int = 3,
    listed: int = 0,
    readers: int = 0,
) -> AsyncGenerator[Load]:
    """Connect the gateways of a load, ``gateways`` for each app. `Load.begin` starts the senders.

    ``listed`` more for each app get only the events of groups that they list, and change these under load.
    ``readers`` more read events over HTTP by a stream, and as many by polls.

    ``apps`` are the apps, or how many new ones there are.
    """
    run = secrets.token_hex(4)
    app_ids = [f"app{number}-{run}" for number in range(apps)] if isinstance(apps, int) else apps
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=2)
    async with httpx.AsyncClient(trust_env=False, timeout=REPLY_SECONDS, limits=limits) as http:
        load = Load(deployment, stores, http, seed, app_ids, gateways, listed, readers)
        try:
            await load.connect()
            yield load
        finally:
            await load.close()
