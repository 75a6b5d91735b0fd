"""What saturates first, and what to add."""

from collections.abc import Sequence
from dataclasses import dataclass

from imc_capacity.fleet import Engines, Fleet, Simulation
from imc_capacity.plan import Plan
from imc_capacity.shards import SHARDS
from imc_capacity.workload import Workload

_REMEDIES = {
    "command-api": "add command-apis",
    "push-node": "add push-nodes, or let pushes wait longer (push_wait)",
    "query-api": "add query-apis, and replicas of the database",
    "projector": f"add projectors, up to {SHARDS}",
    "redis": f"add masters to the Redis Cluster, up to {SHARDS}",
}
_ONE_APP = (
    "An app has one order, so that all of its messages pass through one core of Redis, and nothing that is "
    "added raises this. Divide the app into several"
)


@dataclass(frozen=True)
class Limit:
    """An engine that can saturate: how busy its fullest one is at a peak, and what to do then."""

    kind: str
    saturation: float
    remedy: str

    @property
    def growth(self) -> float | None:
        """How many times the traffic may grow until a whole core is busy; None if there is no traffic."""
        return 1 / self.saturation if self.saturation else None


def limits(found: Plan) -> list[Limit]:
    """What can saturate in a plan, the first first, with the spare pods away."""
    kinds = {
        "command-api": found.command_api.saturation,
        "push-node": found.push_node.saturation,
        "query-api": found.query_api.saturation,
        "projector": found.projector.saturation,
        "redis": found.redis.saturation,
    }
    ordered = sorted(kinds.items(), key=lambda each: -each[1])
    return [Limit(kind, saturation, _REMEDIES[kind]) for kind, saturation in ordered]


def warnings(found: Plan, load: Workload) -> list[str]:
    """What the plan can't give, however much is added."""
    app = found.busiest_app
    said: list[str] = []
    if app.sends > app.most_sends:
        said.append(
            f"at a peak the busiest app sends {app.sends:,.0f} a second; a core of Redis that is "
            f"{load.busy:.0%} busy takes {app.most_sends:,.0f} of one app. {_ONE_APP}."
        )
    if load.busiest_rate > app.most_rows:
        said.append(
            f"on average the busiest app sends {load.busiest_rate:,.0f} a second; the projector that owns "
            f"its shard stores {app.most_rows:,.0f} rows. Its history falls behind until its sends get 503 "
            "(IMC_BACKLOG_LIMIT). Divide the app into several."
        )
    elif app.sends > app.most_rows:
        said.append(
            f"at a peak the busiest app sends {app.sends:,.0f} a second; the projector that owns its shard "
            f"stores {app.most_rows:,.0f} rows. Each second of a peak, its history falls behind by "
            f"{app.sends - app.most_rows:,.0f} messages, which are stored afterwards. "
            "IMC_BACKLOG_LIMIT must be above what a peak leaves."
        )
    for kind, engines in (("masters", found.redis), ("projectors", found.projector)):
        if engines.count >= SHARDS and engines.saturation > load.busy:
            said.append(
                f"{SHARDS} {kind} are not enough, and there are {SHARDS} shards, so that more are of no use. "
                "Divide the apps among installations."
            )
    return said


def fleet_advice(found: Simulation, fleet: Fleet) -> list[str]:
    """What to do about each kind of engine whose fullest is too busy; or how far the fleet may grow."""
    busy = [_advice(each, fleet) for each in found.engines if each.fullest > fleet.busy]
    if busy:
        return busy
    first = found.engines[0]
    if not first.fullest:
        return ["nothing is sent, and nobody is connected."]
    return [
        f"no engine is more than {fleet.busy:.0%} busy. If the traffic grows {1 / first.fullest:.1f} times, "
        f"{first.kind} saturates first: {_REMEDIES[first.kind]}."
    ]


def _advice(engines: Engines, fleet: Fleet) -> str:
    kind, count = engines.kind, len(engines.loads)
    said = f"{kind}: the fullest of {count} is {engines.fullest:.0%} busy"
    alone = f"the largest app alone takes {engines.largest_app:.0%} of one"
    if engines.largest_app > fleet.busy and kind == "redis":
        return f"{said}; {alone}. {_ONE_APP}."
    if engines.largest_app > fleet.busy and kind == "projector":
        return f"{said}; {alone}: its history falls behind while the peak lasts. Divide the app into several."
    needed = _needed(engines.loads, fleet.busy)
    if needed > count:
        return f"{said}; {needed} are needed, even if all are as full as each other: {_REMEDIES[kind]}."
    if engines.spread_by_load <= fleet.busy:
        how = "move slots of full masters to others" if kind == "redis" else _REMEDIES[kind]
        return f"{said}; spread by load, it would be {engines.spread_by_load:.0%}: {how}."
    return f"{said}; the mean is {engines.mean:.0%}: {_REMEDIES[kind]}."


def _needed(loads: Sequence[float], busy: float) -> int:
    return max(1, -int(-sum(loads) // busy))
