"""What a check has found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One thing that is as it should be, or not."""

    part: str
    """Settings, or the server that it is about."""

    what: str
    level: Level
    found: str
    cure: str = ""
    """What to do, unless ``found`` says it."""


def judged(part: str, what: str, objection: str | None, found: str, cure: str = "") -> Finding:
    """Something that is wrong if there is an ``objection``, and else as ``found``."""
    return (
        Finding(part, what, "ok", found)
        if objection is None
        else Finding(part, what, "wrong", objection, cure)
    )
