"""``python -m imc_bench short|full [--rows 1,2,gateways]``: run benchmarks, write JSON and charts."""

import argparse
import contextlib
import datetime
import io
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imc_bench import catalogue, cores, cpu, machine, plots, results, table
from imc_bench.rows import FULL, SHORT, InvalidRun, Result, Scale

FOLDER = Path("bench/results")


def main() -> None:
    """Measure the selected rows. Exit with 1 if a row has no valid result."""
    parser = argparse.ArgumentParser(prog="python -m imc_bench", description=__doc__)
    parser.add_argument("scale", choices=["short", "full"])
    usual = [row for row in catalogue.MODULES if row not in catalogue.ON_REQUEST]
    parser.add_argument(
        "--rows", help="only these rows or curves, separated by commas", default=",".join(usual)
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder for results")
    options = parser.parse_args()
    cpu.allow_connections()
    cores.pin(os.getpid(), cores.choose().load)
    faults = measure(options.rows.split(","), FULL if options.scale == "full" else SHORT, options.folder)
    if faults:
        sys.exit("\n".join(faults))


def measure(rows: list[str], scale: Scale, folder: Path) -> list[str]:
    """Measure the rows in turn; print and save each result. Return a message for each row that failed."""
    faults: list[str] = []
    for row in rows:
        began = time.monotonic()
        logs = io.StringIO()
        try:
            # Processes print their logs when they end. They are shown only for a row that failed.
            with contextlib.redirect_stdout(logs):
                found = catalogue.measure(row, scale)
        except InvalidRun as fault:
            faults.append(f"{row}: no result: {fault}\n{logs.getvalue()}")
            continue
        except Exception:
            # A failed row must not stop the other rows of a long run.
            faults.append(f"{row}: no result:\n{traceback.format_exc()}{logs.getvalue()}")
            continue
        sys.stdout.write(f"{table.text(found)}\n{' ' * 11}took {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()
        # Saved at once, so that an interrupted run keeps the rows measured so far.
        save(found, scale, folder)
    return faults


def save(measured: Sequence[Result], scale: Scale, folder: Path) -> None:
    """Add results to the file of this scale, and draw their curves."""
    path = folder / f"{scale.name}.json"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = "make bench-full" if scale is FULL else "make bench"
    earlier = results.load(path).results if path.exists() else []
    dated = [replace(result, date=today, machine=machine.describe()) for result in measured]
    run = results.Run(command, scale.name, earlier).with_results(dated)
    results.save(run, path)
    for result in measured:
        if result.curve is not None:
            plots.draw(result.curve, folder / f"{result.row}.png")


if __name__ == "__main__":
    main()
