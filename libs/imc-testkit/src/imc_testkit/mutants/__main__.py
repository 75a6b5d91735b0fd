"""``make mutants``: changes of the code, and whether the tests notice them."""

import asyncio
import os
import sys
from collections import Counter
from pathlib import Path

from imc_testkit.mutants.choice import Mutant, choose, is_equivalent, known_equivalents
from imc_testkit.mutants.run import TestsUnusable, Verdict, judge_all

MOST_WORKERS = 2


def main() -> int:
    """Run by the environment: COUNT, SEED, JOBS, ONLY. Returns 1 if a change went unnoticed."""
    count, seed = int(os.environ.get("COUNT", "200")), int(os.environ.get("SEED", "1"))
    jobs = int(os.environ.get("JOBS", str(min(MOST_WORKERS, os.cpu_count() or 1))))
    chosen = choose(Path.cwd(), count, seed, os.environ.get("ONLY", ""))
    listed = known_equivalents()
    equivalent = [mutant for mutant in chosen if is_equivalent(mutant, listed)]
    to_judge = [mutant for mutant in chosen if not is_equivalent(mutant, listed)]
    _say(f"{len(chosen)} changes with SEED={seed}; {len(equivalent)} of them are listed as equivalent")
    done = Counter[bool]()

    def tell(verdict: Verdict) -> None:
        done[bool(verdict.by)] += 1
        word = f"caught by {verdict.by}" if verdict.by else "SURVIVED"
        _say(f"[{done.total()}/{len(to_judge)}] {verdict.mutant.name}\n    {word} ({verdict.seconds:.1f} s)")

    try:
        verdicts = asyncio.run(judge_all(Path.cwd(), to_judge, jobs, tell))
    except ExceptionGroup as group:
        unusable, others = group.split(TestsUnusable)
        if others or unusable is None:
            raise
        _say(str(unusable.exceptions[0]))
        return 1
    survivors = [verdict.mutant for verdict in verdicts if not verdict.by]
    _report(verdicts, survivors, equivalent)
    return 1 if survivors else 0


def _report(verdicts: list[Verdict], survivors: list[Mutant], equivalent: list[Mutant]) -> None:
    for mutant in survivors:
        _say(f"\nSURVIVED {mutant.change.kind} in {mutant.area.name}\n{mutant.change.diff(mutant.source)}")
    _say("\narea: caught of changed, equivalents aside")
    changed = Counter(verdict.mutant.area.name for verdict in verdicts)
    caught = Counter(verdict.mutant.area.name for verdict in verdicts if verdict.by)
    for area in changed:
        _say(f"  {area}: {caught[area]} of {changed[area]}")
    timed_out = sum(verdict.by == "time" for verdict in verdicts)
    share = caught.total() / changed.total() if verdicts else 1.0
    _say(
        f"caught {caught.total()} of {changed.total()} ({share:.0%}), {timed_out} of them by the time bound;"
        f" {len(survivors)} survived; {len(equivalent)} are equivalent"
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
