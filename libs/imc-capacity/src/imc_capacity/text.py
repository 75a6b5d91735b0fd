"""Plans and simulations as text for a terminal."""

from collections.abc import Iterable, Sequence

from imc_capacity.advice import fleet_advice, limits, warnings
from imc_capacity.fleet import Fleet, Simulation
from imc_capacity.plan import Plan, Pods
from imc_capacity.workload import Workload

_UNITS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(value: float) -> str:
    """Bytes with a unit and three digits."""
    for factor, unit in _UNITS:
        if value >= factor:
            return f"{number(value / factor)} {unit}"
    return f"{value:.0f} bytes"


def number(value: float) -> str:
    """A number with three digits, and separators of thousands."""
    if abs(value) >= 1000:
        digits = len(str(round(abs(value))))
        return f"{round(value, 3 - digits):,.0f}"
    return f"{value:.3g}"


def of_plan(found: Plan, load: Workload) -> str:
    """A plan as tables, with what saturates first and warnings."""
    parts = [
        table(_pods(found)),
        table(_servers(found)),
        "What saturates first, at a peak with the spare pods away:\n" + table(_limits(found)),
        _bound(found),
        *(f"WARNING: {said}" for said in warnings(found, load)),
    ]
    return "\n\n".join(parts)


def of_simulation(found: Simulation, fleet: Fleet) -> str:
    """The engines of a fleet as a table, with what to do."""
    head = (
        f"{fleet.apps:,} apps send {number(fleet.sends)} a second, the largest {number(found.largest_sends)} "
        f"to {found.largest_gateways:,} gateways; {number(found.deliveries)} pushes a second."
    )
    rows = [["", "number", "mean", "fullest", "fullest / mean", "largest app", "fullest, spread by load"]]
    rows += [
        [
            each.kind,
            f"{len(each.loads):,}",
            f"{each.mean:.0%}",
            f"{each.fullest:.0%}",
            f"{each.unevenness:.2f}",
            f"{each.largest_app:.0%}",
            f"{each.spread_by_load:.0%}",
        ]
        for each in found.engines
    ]
    advice = "\n".join(f"- {said}" for said in fleet_advice(found, fleet))
    return f"{head}\n\n{table(rows)}\n\nWhat saturates first is the first line. What to do:\n{advice}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(cells).rstrip()


def _pods(found: Plan) -> list[list[str]]:
    kinds = {
        "command-api": found.command_api,
        "push-node": found.push_node,
        "query-api": found.query_api,
        "projector": found.projector,
    }
    rows = [["pods", "number", "cores of each", "memory of each", "busy cores of all"]]
    return rows + [_pod(kind, pods) for kind, pods in kinds.items()]


def _pod(kind: str, pods: Pods) -> list[str]:
    return [kind, f"{pods.count:,}", f"{pods.cores}", size(pods.memory_bytes), number(pods.busy_cores)]


def _servers(found: Plan) -> list[list[str]]:
    redis, rows, network = found.redis, found.database, found.network
    return [
        ["servers", ""],
        ["Redis, masters of one core", f"{redis.count:,}"],
        ["Redis, busy cores of all", number(redis.busy_cores)],
        ["Redis, maxmemory of the fullest", size(redis.memory_bytes)],
        ["Redis, memory of all", size(redis.total_bytes)],
        ["database, rows a second", number(rows.rows_per_second)],
        ["database, busy cores", number(rows.busy_cores)],
        ["database, size of a day", size(rows.bytes_per_day)],
        ["database, size in total", size(rows.total_bytes)],
        ["pushes a second", number(network.deliveries)],
        ["network in, a second", size(network.in_bytes)],
        ["network out, a second", size(network.out_bytes)],
    ]


def _limits(found: Plan) -> list[list[str]]:
    rows = [["", "busy", "may grow"]]
    return rows + [
        [
            f"{each.kind}: {each.remedy}",
            f"{each.saturation:.0%}",
            f"{number(each.growth)} times" if each.growth else "",
        ]
        for each in limits(found)
    ]


def _bound(found: Plan) -> str:
    app = found.busiest_app
    return (
        f"One app: at most {number(app.most_sends)} sends a second (a core of Redis, batches of 100), "
        f"{number(app.most_rows)} of them a second into its history (a projector). "
        f"The busiest sends {number(app.sends)} at a peak, in batches of {number(app.batch)}."
    )
