"""All rows and curves, with the modules that measure them."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from imc_bench.rows import Result, Scale

MODULES = {
    "1": "imc_bench.push.fan_out",
    "2": "imc_bench.push.single",
    "2b": "imc_bench.push.fixed_rate",
    "3": "imc_bench.http.sends",
    "4": "imc_bench.http.batches",
    "5": "imc_bench.store.projector",
    "6": "imc_bench.store.history_depth",
    "7": "imc_bench.http.reads",
    "8": "imc_bench.push.latency",
    "9": "imc_bench.push.idle",
    "10": "imc_bench.push.neighbours",
    "11": "imc_bench.push.resume",
    "12": "imc_bench.http.starts",
    "13": "imc_bench.apps.redis_message",
    "14": "imc_bench.apps.idle_apps",
    "15": "imc_bench.apps.spread_sends",
    "hot-path": "imc_bench.http.hot_path",
    "quota": "imc_bench.http.quota",
    "gateways": "imc_bench.push.curve_gateways",
    "push-size": "imc_bench.push.curve_push_size",
    "apps": "imc_bench.push.curve_apps",
    "rows": "imc_bench.store.curve_rows",
    "backlog": "imc_bench.store.curve_backlog",
    "retention": "imc_bench.store.retention",
    "java": "imc_bench.push.java_door",
    "groups": "imc_bench.push.groups",
    "servers": "imc_bench.capacity.servers",
    "sizes": "imc_bench.capacity.sizes",
}
"""Modules by row. Each has ``measure(scale: Scale) -> list[Result]``."""

ON_REQUEST = {"retention", "groups"}
"""Rows that are measured only if they are named: they take long."""

RECORDS = {
    **dict.fromkeys(("1", "2"), ("0040", "0127")),
    "2b": ("0127",),
    "3": ("0042", "0127"),
    "4": ("0042",),
    "5": ("0132",),
    **dict.fromkeys(("6", "7"), ("0050",)),
    **dict.fromkeys(("10", "11"), ("0041",)),
    "12": ("0048",),
    "13": ("0131",),
    **dict.fromkeys(("14", "15"), ("0130",)),
    "hot-path": ("0080",),
    "quota": ("0063",),
    "retention": ("0120",),
}
"""Numbers of the decision records that explain why a row may miss its goal."""

DECISIONS = Path(__file__).parents[3] / "docs" / "decisions"


def records(row: str) -> list[Path]:
    """The decision records about a missed goal. Raises `LookupError` if there are none."""
    found = [path for number in RECORDS.get(row, ()) for path in DECISIONS.glob(f"{number}-*.md")]
    if not found:
        raise LookupError(f"row {row} misses its goal, and no decision record in {DECISIONS} says why")
    return found


def measure(row: str, scale: Scale) -> Sequence[Result]:
    """Measure one row. Raises `KeyError` for an unknown row, `InvalidRun` if messages were lost."""
    return import_module(MODULES[row]).measure(scale)
