"""``python -m imc_testkit.soak``: random load and random faults for a while, then the checker.

MINUTES and SEED come from the environment. Every kind of fault is injected at least once, even if that takes
longer than MINUTES. Exits with 1 if a guarantee was broken, and keeps the history and the processes' logs.
"""

import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imc_testkit.checker import Report
from imc_testkit.faults.injection import FAULTS, InjectedFault, inject
from imc_testkit.faults.testbed import open_testbed
from imc_testkit.figures import Figures, figures_of, timed_pushes
from imc_testkit.history import History

SETTLE_SECONDS = 120.0


@dataclass
class Outcome:
    """The outcome of a run."""

    history: History
    faults: list[InjectedFault] = field(default_factory=list[InjectedFault])
    report: Report = field(default_factory=Report)


async def soak(seconds: float, seed: int, history_path: Path) -> Outcome:
    """Run for about ``seconds``. The history is saved if a guarantee was broken."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    async with open_testbed(seed) as testbed:
        outcome = Outcome(testbed.load.history)
        try:
            deadline = time.monotonic() + seconds
            testbed.load.begin()
            await testbed.load.more(100)
            due = chance.sample(sorted(FAULTS), len(FAULTS))
            while due or time.monotonic() < deadline:
                name = due.pop() if due else chance.choice(sorted(FAULTS))
                outcome.faults.append(await inject(testbed, name))
                await testbed.load.more(chance.randrange(10, 200))
            outcome.report = await testbed.load.finish(SETTLE_SECONDS)
        except AssertionError as error:
            # It did not recover, or did not catch up: check the run as it is.
            outcome.report = await testbed.load.judge()
            outcome.report.violations.insert(0, f"after {outcome.history.notes[-1:]}: {error}")
        if not outcome.report.is_clean:
            outcome.history.save(history_path, testbed.load.rows)
        return outcome


def table(outcome: Outcome, figures: Figures) -> str:
    """The figures of a run as text."""
    lines = [f"seed {outcome.history.seed}", str(figures), str(outcome.report), ""]
    lines.append(f"{'fault':24}{'times':>6}{'worst s to recover':>28}{'worst s until pushed':>24}")
    by_name: dict[str, list[InjectedFault]] = defaultdict(list)
    for fault in outcome.faults:
        by_name[fault.name].append(fault)
    for name, faults in sorted(by_name.items()):
        recovery = max(fault.recovered - fault.ended for fault in faults)
        push = _worst_push(outcome.history, faults)
        lines.append(f"{name:24}{len(faults):>6}{recovery:>28.1f}{push:>24.1f}")
    return "\n".join(lines)


def _worst_push(history: History, faults: Sequence[InjectedFault]) -> float:
    """The longest time from the end of a fault to a push of a message sent during the fault."""
    return max(
        (
            push.at - max(push.acknowledged, fault.ended)
            for push in timed_pushes(history)
            for fault in faults
            if fault.began <= push.acknowledged <= fault.recovered
        ),
        default=0.0,
    )


def main() -> None:
    """Run, print the table, and exit with 1 if a guarantee was broken."""
    minutes, seed = float(os.environ.get("MINUTES", "10")), int(os.environ.get("SEED", "1"))
    folder = Path(tempfile.mkdtemp(prefix=f"imc-soak-{seed}-"))
    sys.stdout.write(f"soaking for {minutes:g} minutes, seed {seed}\n")
    sys.stdout.flush()
    with (folder / "processes.log").open("w") as log, contextlib.redirect_stdout(log):
        outcome = asyncio.run(soak(minutes * 60, seed, folder / "history.jsonl"))
    sys.stdout.write(table(outcome, figures_of(outcome.history)) + "\n")
    if not outcome.report.is_clean:
        sys.exit(f"guarantees were broken; history and logs are in {folder}")


if __name__ == "__main__":
    main()
