"""``python -m imc_testkit.soak``: random load and random mishaps for a while, then the checker.

MINUTES and SEED come from the environment. Every kind of mishap happens at least once, also if that takes
longer than MINUTES. Exits with 1 if a promise was broken; the history and the processes' logs are then kept.
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
from imc_testkit.figures import Figures, figures_of, timed_pushes
from imc_testkit.history import History
from imc_testkit.mishaps.episodes import MISHAPS, Episode, suffer
from imc_testkit.mishaps.site import site

SETTLE_SECONDS = 120.0


@dataclass
class Outcome:
    """What came of a run."""

    history: History
    episodes: list[Episode] = field(default_factory=list[Episode])
    report: Report = field(default_factory=Report)


async def soak(seconds: float, seed: int, history_path: Path) -> Outcome:
    """Run for about ``seconds``. The history is written if the report is not clean."""
    lots = random.Random(seed)  # noqa: S311 - to be repeated, not secret
    async with site(seed) as here:
        outcome = Outcome(here.load.history)
        try:
            deadline = time.monotonic() + seconds
            here.load.begin()
            await here.load.more(100)
            due = lots.sample(sorted(MISHAPS), len(MISHAPS))
            while due or time.monotonic() < deadline:
                name = due.pop() if due else lots.choice(sorted(MISHAPS))
                outcome.episodes.append(await suffer(here, name))
                await here.load.more(lots.randrange(10, 200))
            outcome.report = await here.load.finish(SETTLE_SECONDS)
        except AssertionError as error:
            # It did not recover, or did not settle: the run is judged as it stands.
            outcome.report = await here.load.judge()
            outcome.report.violations.insert(0, f"after {outcome.history.notes[-1:]}: {error}")
        if not outcome.report.is_clean:
            outcome.history.save(history_path, here.load.rows)
        return outcome


def table(outcome: Outcome, figures: Figures) -> str:
    """The figures of a run, for people."""
    lines = [f"seed {outcome.history.seed}", str(figures), str(outcome.report), ""]
    lines.append(f"{'mishap':24}{'times':>6}{'worst s to recover':>28}{'worst s until pushed':>24}")
    by_name: dict[str, list[Episode]] = defaultdict(list)
    for episode in outcome.episodes:
        by_name[episode.name].append(episode)
    for name, episodes in sorted(by_name.items()):
        recovery = max(episode.recovered - episode.made_good for episode in episodes)
        push = _worst_push(outcome.history, episodes)
        lines.append(f"{name:24}{len(episodes):>6}{recovery:>28.1f}{push:>24.1f}")
    return "\n".join(lines)


def _worst_push(history: History, episodes: Sequence[Episode]) -> float:
    """How long after a mishap was made good its messages still came, to gateways that were connected."""
    return max(
        (
            push.at - max(push.acknowledged, episode.made_good)
            for push in timed_pushes(history)
            for episode in episodes
            if episode.began <= push.acknowledged <= episode.recovered
        ),
        default=0.0,
    )


def main() -> None:
    """Run, print the table, and exit as the checker says."""
    minutes, seed = float(os.environ.get("MINUTES", "10")), int(os.environ.get("SEED", "1"))
    folder = Path(tempfile.mkdtemp(prefix=f"imc-soak-{seed}-"))
    sys.stdout.write(f"soaking for {minutes:g} minutes, seed {seed}\n")
    sys.stdout.flush()
    with (folder / "processes.log").open("w") as log, contextlib.redirect_stdout(log):
        outcome = asyncio.run(soak(minutes * 60, seed, folder / "history.jsonl"))
    sys.stdout.write(table(outcome, figures_of(outcome.history)) + "\n")
    if not outcome.report.is_clean:
        sys.exit(f"promises were broken; history and logs are in {folder}")


if __name__ == "__main__":
    main()
