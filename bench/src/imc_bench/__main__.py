"""``python -m imc_bench short|full [--rows 1,2,gateways]``: measure, tell, write JSON and pictures."""

import argparse
import contextlib
import datetime
import io
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from imc_bench import catalogue, cores, cpu, machine, plots, results, table
from imc_bench.rows import FULL, SHORT, Faulty, Result, Scale

FOLDER = Path("bench/results")


def main() -> None:
    """Measure the rows asked for; ends with status 1 if one of them lost something."""
    parser = argparse.ArgumentParser(prog="python -m imc_bench", description=__doc__)
    parser.add_argument("scale", choices=["short", "full"])
    parser.add_argument("--rows", help="only these, separated by commas", default=",".join(catalogue.MODULES))
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results go")
    asked = parser.parse_args()
    cpu.allow_connections()
    cores.pin(os.getpid(), cores.choose().load)
    faults = measure(asked.rows.split(","), FULL if asked.scale == "full" else SHORT, asked.folder)
    if faults:
        sys.exit("\n".join(faults))


def measure(rows: list[str], scale: Scale, folder: Path) -> list[str]:
    """Measure one row after the other, telling and keeping each; which of them were no result, and why."""
    faults: list[str] = []
    for row in rows:
        began = time.monotonic()
        logs = io.StringIO()
        try:
            # Processes write their logs there at their end: they are of use where there is no result.
            with contextlib.redirect_stdout(logs):
                found = catalogue.measure(row, scale)
        except Faulty as fault:
            faults.append(f"{row}: no result: {fault}\n{logs.getvalue()}")
            continue
        except Exception:
            # The other rows of a long run are results all the same.
            faults.append(f"{row}: no result:\n{traceback.format_exc()}{logs.getvalue()}")
            continue
        sys.stdout.write(f"{table.text(found)}\n{' ' * 11}took {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
        # At once: a run of half an hour must not be for nothing if it is ended before its end.
        write(found, scale, folder)
    return faults


def write(measured: Sequence[Result], scale: Scale, folder: Path) -> None:
    """Add what was measured to the results of this scale, and draw its curves."""
    path = folder / f"{scale.name}.json"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = "make bench-full" if scale is FULL else "make bench"
    earlier = results.load(path).results if path.exists() else []
    run = results.Run(today, machine.describe(), command, scale.name, earlier).with_results(measured)
    results.save(run, path)
    for result in measured:
        if result.curve is not None:
            plots.draw(result.curve, folder / f"{result.row}.png")


if __name__ == "__main__":
    main()
