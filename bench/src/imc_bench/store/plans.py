"""How the database answers what it is really asked: the plans of the statements of some requests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imc_testkit import databases

from imc_bench.rows import Faulty

_COLUMNS = ("id", "select_type", "table", "type", "possible_keys", "key", "key_len", "ref", "rows", "extra")
_READS_ALL = ("ALL", "index")


@dataclass(frozen=True)
class Step:
    """One line of a plan."""

    table: str
    type: str
    key: str
    extra: str

    @property
    def is_costly(self) -> bool:
        """Whether it reads a table or an index from end to end, or sorts; a derived table is a page."""
        reads_all = self.type in _READS_ALL and not self.table.startswith("<derived")
        return reads_all or "filesort" in self.extra


async def statements_of(url: str, act: Callable[[], Awaitable[object]]) -> list[str]:
    """The SELECTs that the database of this URL is sent while ``act`` runs."""
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
    """The steps by which a statement is answered."""
    found = await databases.run(url, f"EXPLAIN {statement}")
    lines = [dict(zip(_COLUMNS, line, strict=True)) for line in found]
    return [
        Step(line["table"] or "", line["type"] or "", line["key"] or "", line["extra"] or "")
        for line in lines
    ]


async def check(url: str, act: Callable[[], Awaitable[object]]) -> str:
    """See that nothing of what is asked while ``act`` runs needs a scan or a sort; what was verified.

    Raises `Faulty`.
    """
    statements = await statements_of(url, act)
    if not statements:
        raise Faulty("the database was asked nothing")
    for statement in statements:
        plan = await plan_of(url, statement)
        if any(step.is_costly for step in plan):
            raise Faulty(f"a scan or a sort: {plan} for {statement}")
    return f"EXPLAIN of {len(statements)} statements: no scan, no filesort"
