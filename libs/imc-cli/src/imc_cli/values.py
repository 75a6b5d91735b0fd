"""Values on the command line."""

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Moment(click.ParamType[int]):
    """A point in time, as Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``2h`` (ago), ``2026-11-29``, ``2026-11-29T12:00Z`` or Unix milliseconds."""
        text = str(value)
        if ago := re.fullmatch(r"(\d{1,9})([smhd])", text):
            return max(0, time.time_ns() // 1_000_000 - int(ago[1]) * _UNITS[ago[2]] * 1000)
        if re.fullmatch(r"\d{9,19}", text):
            return int(text)
        try:
            read = datetime.fromisoformat(text)
            return max(0, int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1000))
        except (ValueError, OverflowError):
            self.fail(
                f"{text!r} is no time. Write how long ago, such as 2h (s, m, h, d), a time in UTC such as "
                "2026-11-29T12:00, or Unix milliseconds.",
                param,
                ctx,
            )


class Duration(click.ParamType[int]):
    """A time span, as seconds."""

    name = "duration"

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read ``600``, ``600s``, ``10m``, ``12h`` or ``7d``."""
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", str(value))
        seconds = int(found[1]) * _UNITS[found[2] or "s"] if found else 0
        if not found or not self._least <= seconds <= self._most:
            self.fail(
                f"must be {self._least} to {self._most} seconds, such as 600, 10m, 12h or 7d.", param, ctx
            )
        return seconds
