"""Checks the plans of the statements that the database really gets for some requests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imc_testkit import databases

from imc_bench.rows import InvalidRun

_COLUMNS = ("id", "select_type", "table", "type", "possible_keys", "key", "key_len", "ref", "rows", "extra")
_READS_ALL = ("ALL", "index")


@dataclass(frozen=True)
class Step:
    """One line of the output of EXPLAIN."""

    table: str
    type: str
    key: str
    extra: str

    @property
    def is_costly(self) -> bool:
        """Whether the step scans a whole table or index, or sorts. A derived table is one page."""
        reads_all = self.type in _READS_ALL and not self.table.startswith("<derived")
        return reads_all or "filesort" in self.extra


async def statements_of(url: str, act: Callable[[], Awaitable[object]]) -> list[str]:
    """The SELECT statements that the database gets while ``act`` runs, from its general log."""
    try:
        await databases.run(
            url,
            "SET GLOBAL log_output = 'TABLE'",
            "TRUNCATE TABLE mysql.general_log",
            "SET GLOBAL general_log = 1",
        )
        await act()
    finally:
        await databases.run(url, "SET GLOBAL general_log = 0")
    sent = await databases.run(
        url,
        "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log"
        " WHERE command_type IN ('Query', 'Execute') ORDER BY event_time",
    )
    return [
        text for (text,) in sent if " FROM " in text.upper() and text.lstrip().upper().startswith("SELECT")
    ]


async def plan_of(url: str, statement: str) -> list[Step]:
    """The plan of a statement."""
    found = await databases.run(url, f"EXPLAIN {statement}")
    lines = [dict(zip(_COLUMNS, line, strict=True)) for line in found]
    return [
        Step(line["table"] or "", line["type"] or "", line["key"] or "", line["extra"] or "")
        for line in lines
    ]


async def check(url: str, act: Callable[[], Awaitable[object]]) -> str:
    """Check that no statement needs a scan or a sort while ``act`` runs. Return what was verified.

    Raises `InvalidRun`.
    """
    statements = await statements_of(url, act)
    if not statements:
        raise InvalidRun("the database got no statements")
    for statement in statements:
        plan = await plan_of(url, statement)
        if any(step.is_costly for step in plan):
            raise InvalidRun(f"a scan or a sort: {plan} for {statement}")
    return f"EXPLAIN of {len(statements)} statements: no scan, no filesort"
