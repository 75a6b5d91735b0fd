"""A fleet app by app: how unevenly its engines are loaded, and which saturates first.

An *engine* is what has one core and can't share it: a master of Redis, a projector, a push-node.
"""

import bisect
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imc_capacity import model, shards
from imc_capacity.constants import Constants
from imc_capacity.model import App
from imc_capacity.questions import BadAnswer, asked
from imc_capacity.shards import SHARDS

MOST_GATEWAYS = 5_000_000
"""Gateways are placed one by one."""


@dataclass(frozen=True)
class Fleet:
    """The traffic at a peak, and the processes that carry it."""

    apps: int = asked("apps", 1, 1_000_000, 1_000, whole=True)
    sends: float = asked("sends of all apps together, at a peak", 0, 10_000_000, 10_000.0, "a second")
    skew: float = asked(
        "how uneven apps are: the app of rank r sends as r to the power of minus this (Zipf)", 0, 3, 0.8
    )
    gateways: int = asked(
        "gateways of each app, on average; they grow as the root of its traffic", 0, 100_000, 10, whole=True
    )
    content: int = asked("content of a message, on average", 0, 65_535, 200, "bytes", whole=True)
    batch: int = asked("messages in a request", 1, 500, 1, whole=True)
    push_wait: float = asked("how long a push may wait for others", 0, 1_000, 5.0, "ms")
    busy: float = asked("the share of a core that may be busy", 0.05, 0.95, 0.7)
    command_apis: int = asked("command-apis", 1, 100_000, 4, whole=True)
    masters: int = asked("masters of Redis", 1, SHARDS, 1, whole=True)
    projectors: int = asked("projectors", 1, SHARDS, 2, whole=True)
    push_nodes: int = asked("push-nodes", 1, 100_000, 4, whole=True)
    seed: int = asked("the same seed makes the same fleet", 0, 2**31, 1, whole=True)

    def check(self) -> None:
        """Raises `BadAnswer` if there are too many gateways to place."""
        if self.apps * self.gateways > MOST_GATEWAYS:
            raise BadAnswer(
                f"gateways is {self.gateways:,} of each of {self.apps:,} apps, "
                f"{self.apps * self.gateways:,} in all; a simulation places at most {MOST_GATEWAYS:,}"
            )


@dataclass(frozen=True)
class Engines:
    """The loads of all engines of one kind, in cores."""

    kind: str
    loads: Sequence[float]
    largest_app: float
    """The load that the largest app alone puts on one of them."""
    spread_by_load: float
    """The load of the fullest, if what can be moved were spread by its load."""

    @property
    def mean(self) -> float:
        """The load of an engine on average."""
        return sum(self.loads) / len(self.loads)

    @property
    def fullest(self) -> float:
        """The load of the fullest."""
        return max(self.loads)

    @property
    def unevenness(self) -> float:
        """The load of the fullest over the mean; 1 if all are the same."""
        return self.fullest / self.mean if self.mean else 1.0


@dataclass(frozen=True)
class Simulation:
    """The engines of a fleet, the fullest kind first."""

    engines: Sequence[Engines]
    largest_sends: float
    """Sends of the largest app a second."""
    largest_gateways: int
    deliveries: float
    """Pushes a second, one a gateway."""


def traffic(fleet: Fleet) -> list[App]:
    """All apps, the largest first: their sends fall with their rank by Zipf's law, gateways as its root."""
    weights = [rank**-fleet.skew for rank in range(1, fleet.apps + 1)]
    total, roots = math.fsum(weights), [math.sqrt(weight) for weight in weights]
    scale = fleet.apps * fleet.gateways / math.fsum(roots)
    sums = [round(scale * each) for each in itertools.accumulate(roots)]
    gateways = [after - before for before, after in itertools.pairwise([0, *sums])]
    return [
        App(fleet.sends * weight / total, own, fleet.batch)
        for weight, own in zip(weights, gateways, strict=True)
    ]


def simulate(constants: Constants, fleet: Fleet) -> Simulation:
    """Place all apps and gateways of a fleet, and add up what each engine has to do."""
    apps = traffic(fleet)
    shard_of = [shards.shard_of(f"{fleet.seed}-app-{number}") for number in range(fleet.apps)]
    audience = _Audience(constants, fleet)
    redis, rows = [0.0] * SHARDS, [0.0] * SHARDS
    largest: dict[str, float] = {}
    for app, shard in zip(apps, shard_of, strict=True):
        placed = audience.place(app)
        batch = model.batch_size(constants, app, fleet.command_apis, len(placed), fleet.busy)
        log = model.redis_load(constants, app, batch, len(placed))
        stored = model.projector_load(constants, app.sends)
        pushed = audience.push(app, batch, placed)
        redis[shard] += log
        rows[shard] += stored
        for kind, load in (("redis", log), ("projector", stored), ("push-node", pushed)):
            largest[kind] = max(largest.get(kind, 0.0), load)
    senders = model.command_api_load(constants, fleet.sends, fleet.batch) / fleet.command_apis
    engines = [
        _sharded("redis", redis, fleet.masters, shards.by_slots, largest["redis"]),
        _sharded("projector", rows, fleet.projectors, shards.evenly, largest["projector"]),
        # A newer gateway can't be placed by the load of its app, which nobody knows beforehand.
        Engines("push-node", audience.loads, largest["push-node"], max(audience.loads)),
        Engines("command-api", [senders] * fleet.command_apis, 0.0, senders),
    ]
    return Simulation(
        sorted(engines, key=lambda each: -each.fullest),
        apps[0].sends,
        int(apps[0].gateways),
        math.fsum(app.sends * app.gateways for app in apps),
    )


class _Audience:
    """Push-nodes, and the gateways that land on them: each on any, as rendezvous hashing spreads them."""

    def __init__(self, constants: Constants, fleet: Fleet) -> None:
        self._constants = constants
        self._fleet = fleet
        self._chance = random.Random(fleet.seed)  # noqa: S311 - repeatable, not secret
        self._bounds = [(node + 1) / fleet.push_nodes for node in range(fleet.push_nodes)]
        self.loads = [0.0] * fleet.push_nodes

    def place(self, app: App) -> Counter[int]:
        """How many gateways of an app each push-node has."""
        chance, bounds = self._chance.random, self._bounds
        return Counter(bisect.bisect(bounds, chance()) for _ in range(int(app.gateways)))

    def push(self, app: App, batch: float, placed: Counter[int]) -> float:
        """Add the load of an app to the push-nodes that follow it; return that of the fullest of them."""
        load_of: Callable[[float], float] = lambda gateways: (  # noqa: E731
            model.push_load(
                self._constants,
                App(app.sends, gateways, app.batch),
                batch,
                1,
                self._fleet.content,
                self._fleet.push_wait,
            )
            + model.keep_alive_load(self._constants, gateways)
        )
        following, each = load_of(0), load_of(1) - load_of(0)
        most = 0.0
        for node, gateways in placed.items():
            load = following + gateways * each
            self.loads[node] += load
            most = max(most, load)
        return most


def _sharded(
    kind: str, of_shard: Sequence[float], count: int, spread: Callable[[int], list[int]], largest: float
) -> Engines:
    """Engines that own shards, placed by ``spread``, and the fullest if shards were placed by their loads."""
    by_load = _carried(of_shard, shards.by_load(of_shard, count), count)
    return Engines(kind, _carried(of_shard, spread(count), count), largest, max(by_load))


def _carried(of_shard: Sequence[float], owners: Sequence[int], count: int) -> list[float]:
    loads = [0.0] * count
    for shard, owner in enumerate(owners):
        loads[owner] += of_shard[shard]
    return loads
