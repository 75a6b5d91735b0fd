"""A plan: how many pods, masters and bytes a workload needs, and what saturates first."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from imc_capacity import model
from imc_capacity.constants import Constants
from imc_capacity.model import App
from imc_capacity.shards import SHARDS
from imc_capacity.workload import Workload

MOST_PODS = 100_000
"""Where the search for a number of pods ends."""

ROOM_FOR_REWRITES = 2
"""Redis needs the memory of its logs twice: for a backlog, and to rewrite the append-only file."""


class CannotGrow(Exception):
    """No number of pods carries the workload. The text says why, and what to change."""


@dataclass(frozen=True)
class Pods:
    """Processes of one kind: how many, the cores that all of them keep busy at a peak, memory of each."""

    count: int
    busy_cores: float
    memory_bytes: float
    """Of one pod."""
    saturation: float
    """How busy the busiest of them is at a peak, with the spare ones away: 1 is a whole core."""
    cores: int = 1
    """Of one pod. A process uses one core, so that more are of no use."""


@dataclass(frozen=True)
class Masters:
    """Masters of Redis. ``memory_bytes`` is the ``maxmemory`` of the fullest, ``total_bytes`` of all."""

    count: int
    busy_cores: float
    memory_bytes: float
    total_bytes: float
    saturation: float


@dataclass(frozen=True)
class Rows:
    """The database: rows a second at a peak, bytes a day and in total, cores at a peak."""

    rows_per_second: float
    bytes_per_day: float
    total_bytes: float
    busy_cores: float


@dataclass(frozen=True)
class Network:
    """Bytes a second at a peak, from clients and to gateways and readers."""

    in_bytes: float
    out_bytes: float
    deliveries: float
    """Pushes a second, one a gateway."""


@dataclass(frozen=True)
class BusiestApp:
    """The bound of one app: what it sends at a peak, and the most that Redis and a projector take of it."""

    sends: float
    most_sends: float
    most_rows: float
    batch: float
    """Messages in a batch of its log."""


@dataclass(frozen=True)
class Plan:
    """What a workload needs."""

    command_api: Pods
    push_node: Pods
    query_api: Pods
    projector: Pods
    redis: Masters
    database: Rows
    network: Network
    busiest_app: BusiestApp


@dataclass(frozen=True)
class _Traffic:
    """The peak: the busiest app, and another one of which there are ``others``."""

    busiest: App
    other: App
    others: int

    def total(self, of: Callable[[App], float]) -> float:
        return of(self.busiest) + self.others * of(self.other)

    @property
    def sends(self) -> float:
        return self.total(lambda app: app.sends)

    @property
    def deliveries(self) -> float:
        return self.total(lambda app: app.sends * app.gateways)


def plan(constants: Constants, load: Workload) -> Plan:
    """What a workload needs. Raises `CannotGrow` if no number of push-nodes carries it."""
    traffic = _traffic(load)
    pages = load.reads * load.peak_factor
    command_api = _pods(
        load,
        model.command_api_load(constants, traffic.sends, load.batch),
        constants.command_api_bytes,
    )
    push_nodes = _push_nodes(constants, load, traffic, command_api.count)
    query_api = _pods(load, model.query_api_load(constants, pages), constants.query_api_bytes)
    redis = _masters(constants, load, traffic, command_api.count, push_nodes.count)
    followers = model.followers_of(traffic.busiest.gateways, push_nodes.count)
    return Plan(
        command_api,
        push_nodes,
        query_api,
        _projectors(constants, load, traffic),
        redis,
        _rows(constants, load, traffic, pages),
        Network(
            model.network_in(constants, traffic.sends, load.content, load.batch),
            model.network_out(constants, traffic.deliveries, load.content, pages),
            traffic.deliveries,
        ),
        BusiestApp(
            traffic.busiest.sends,
            model.most_sends_of_an_app(constants, followers, load.busy),
            model.most_rows_of_a_shard(constants, load.busy),
            model.batch_size(constants, traffic.busiest, command_api.count, followers, load.busy),
        ),
    )


def _traffic(load: Workload) -> _Traffic:
    return _Traffic(
        App(load.busiest_rate * load.peak_factor, load.busiest_audience, load.batch),
        App(load.other_rate * load.peak_factor, load.gateways, load.batch),
        load.apps - 1,
    )


def _pods(load: Workload, cores: float, memory_bytes: float) -> Pods:
    """Pods that share their work evenly."""
    needed = max(1, math.ceil(cores / load.busy))
    return Pods(needed + load.spare, cores, memory_bytes, cores / needed)


def _push_nodes(constants: Constants, load: Workload, traffic: _Traffic, command_apis: int) -> Pods:
    """As few push-nodes as are not too busy. Each one more is woken too, by the apps that it follows."""

    def cores(nodes: int) -> float:
        def of(app: App) -> float:
            followers = model.followers_of(app.gateways, nodes)
            batch = model.batch_size(constants, app, command_apis, followers, load.busy)
            return model.push_load(constants, app, batch, followers, load.content, load.push_wait)

        return traffic.total(of) + always

    always = model.keep_alive_load(constants, load.all_gateways)
    always += model.frames_load(constants, traffic.sends * load.by_gateways)

    needed = max(1, math.ceil(load.all_gateways / load.node_gateways))
    while cores(needed) > needed * load.busy:
        if needed > MOST_PODS:
            raise CannotGrow(
                f"{MOST_PODS:,} push-nodes do not carry this: the more there are, the more follow each app. "
                "Let pushes wait longer (push_wait), or divide the apps among installations"
            )
        needed = max(needed + 1, math.ceil(needed * 1.02))
    gateways = load.all_gateways / needed
    memory = constants.push_node_bytes + gateways * constants.gateway_bytes
    return Pods(needed + load.spare, cores(needed), memory, cores(needed) / needed)


def _projectors(constants: Constants, load: Workload, traffic: _Traffic) -> Pods:
    """Projectors that own the shards of all apps; the one with the busiest app has less room for others."""
    busiest = model.projector_load(constants, traffic.busiest.sends)
    total = model.projector_load(constants, traffic.sends)
    needed = _engines(total, busiest, load.busy)
    count = min(needed + load.spare, SHARDS)
    return Pods(count, total, constants.projector_bytes, _fullest(total, busiest, needed))


def _masters(
    constants: Constants, load: Workload, traffic: _Traffic, command_apis: int, push_nodes: int
) -> Masters:
    def cores(app: App) -> float:
        followers = model.followers_of(app.gateways, push_nodes)
        batch = model.batch_size(constants, app, command_apis, followers, load.busy)
        return model.redis_load(constants, app, batch, followers)

    total, busiest = traffic.total(cores), cores(traffic.busiest)
    count = _engines(total, busiest, load.busy)

    own, other = (_memory(constants, load, rate) for rate in (load.busiest_rate, load.other_rate))
    others = other * (load.apps - 1)
    # The fullest has the busiest app, and its part of the others.
    return Masters(count, total, own + others / count, own + others, _fullest(total, busiest, count))


def _memory(constants: Constants, load: Workload, sends: float) -> float:
    """Bytes of Redis for an app with this many sends a second."""
    entries = min(sends * load.log_hours * 3600, load.log_entries)
    client_ids = sends * load.client_ids * load.id_hours * 3600
    return ROOM_FOR_REWRITES * model.log_bytes(constants, entries, load.content, client_ids)


def _engines(total: float, busiest: float, busy: float) -> int:
    """How many engines of a core carry ``total``, if one app takes ``busiest`` of one; at most one a shard.

    An app that is too much for an engine has one for itself: more engines do not help it.
    """
    is_alone = busiest > busy
    needed = 1 + math.ceil((total - busiest) / busy) if is_alone else math.ceil(total / busy)
    return max(1, min(needed, SHARDS))


def _fullest(total: float, busiest: float, count: int) -> float:
    """The load of the engine with the busiest app, if the others are spread so that none has more."""
    return max(total / count, busiest)


def _rows(constants: Constants, load: Workload, traffic: _Traffic, pages: float) -> Rows:
    day = load.sends * 86_400
    return Rows(
        traffic.sends,
        model.row_bytes(constants, day, load.content, 0),
        model.row_bytes(constants, day * load.row_days, load.content, load.all_groups),
        model.database_load(constants, traffic.sends, pages),
    )
