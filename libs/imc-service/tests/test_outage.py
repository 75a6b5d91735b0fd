"""Tests of what is logged of an outage."""

from typing import Any

from imc_service.outage import Outage


def told_of(*reasons: str | None) -> list[tuple[str, Any]]:
    """What is logged when attempts end so: with a reason, or None for a success."""
    told: list[tuple[str, Any]] = []
    outage = Outage(lambda event, error=None: told.append((event, error)), "reading")
    for words in reasons:
        if words is None:
            outage.is_over()
        else:
            outage.goes_on(words)
        assert outage.words == words
    return told


def test_each_reason_of_an_outage_is_told_once() -> None:
    fails, works = ("reading fails", "a"), ("reading works again", None)
    assert told_of("a", "a", "b", "a", "b") == [fails, ("reading fails", "b")]
    assert told_of("a", None, None, "a", None) == [fails, works, fails, works]


def test_reasons_that_never_end_are_told_for_a_while() -> None:
    assert len(told_of(*map(str, range(100)), None)) == 21
